///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Label news, set the labels against the right ones, and write a page to search, compare and rate
//SOURCES ../lib/Sheaf.java
//FILES data/news.csv=../data/news.csv
//FILES templates/topic.mustache=../templates/topic.mustache

import static sheaf.Sheaf.*;

class Report {
    public static void main(String... args) {
        var results = batch()
            .model("gpt-4.1-mini")
            .prompts(template("topic"), csv("data/news.csv"))
            .choice("World", "Sports", "Business", "Sci/Tech")
            .temperature(0)
            .maxTokens(50)
            .options("--out", "report.html")                   // opens from the disk
            .options(args)
            .submit()
            .await()
            .results();

        if (results.stream().allMatch(result -> result.row().containsKey("label")))      // yours need not have one
            System.out.println(results.confusion("label"));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
