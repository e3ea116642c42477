///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a cook and two maths tutors, each with a system prompt from the row
//SOURCES ../lib/Sheaf.java
//FILES data/questions.csv=../data/questions.csv

import static sheaf.Sheaf.*;

class Personas {
    public static void main(String... args) {
        batch()
            .model("gpt-4.1-mini")
            .system("You are {{persona}}.")
            .prompts("{{question}}", csv("data/questions.csv"))
            .maxTokens(1000)
            .options(args)
            .submit()
            .await()
            .results()
            .show();
    }
}
