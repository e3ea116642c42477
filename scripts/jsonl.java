///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Write the request lines to requests.jsonl and send nothing
//SOURCES ../lib/Sheaf.java
//FILES data/mixed.csv=../data/mixed.csv

import static sheaf.Sheaf.*;

class Jsonl {
    public static void main(String... args) {
        batch()
            .model("{{model}}")
            .system("{{system}}")
            .prompts("{{question}}", csv("data/mixed.csv"))
            .image("{{image}}")
            .maxTokens(1000)
            .options(args)
            .toJsonl("requests.jsonl");

        System.out.println("requests.jsonl");
    }
}
