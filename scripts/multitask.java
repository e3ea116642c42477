///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Do five tasks on every article in one batch: a column for each template
//SOURCES ../lib/Sheaf.java
//FILES data/articles.json=../data/articles.json
//FILES templates/sentiment.mustache=../templates/sentiment.mustache
//FILES templates/translation.mustache=../templates/translation.mustache
//FILES templates/summary.mustache=../templates/summary.mustache
//FILES templates/topic.mustache=../templates/topic.mustache
//FILES templates/keywords.mustache=../templates/keywords.mustache

import static sheaf.Sheaf.*;

class Multitask {
    public static void main(String... args) {
        var results = batch()
            .name("multitask")
            .model("gpt-4.1-mini")
            .prompts(templates("sentiment", "translation", "summary", "topic", "keywords"), json("data/articles.json"))
            .maxTokens(200)
            .options("--out", "multitask.csv")                 // a line for each article and template
            .options(args)
            .submit()
            .await()
            .results();

        results.show();
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
