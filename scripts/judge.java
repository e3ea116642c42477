///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Let one model judge the answers of another: results are data
//SOURCES ../lib/Sheaf.java
//FILES data/sums.jsonl=../data/sums.jsonl
//FILES templates/judge.mustache=../templates/judge.mustache

import static sheaf.Sheaf.*;

class Judge {
    public static void main(String... args) {
        var student = batch()
            .model("gpt-4.1-nano")
            .prompts("{{question}} Answer with the number alone.", jsonl("data/sums.jsonl"))
            .maxTokens(200)
            .options(args)                                     // the student's
            .submit()
            .await();

        var verdicts = batch()
            .provider(student.provider())
            .model(System.getenv().getOrDefault("JUDGE", "gpt-4.1"))
            .prompts(template("judge"), student.results().succeeded())
            .checkOutput("verdicts.csv")
            .temperature(0)
            .maxTokens(200)
            .submit()
            .await()
            .results();

        verdicts.show();
        verdicts.toCsv("verdicts.csv");
    }
}
