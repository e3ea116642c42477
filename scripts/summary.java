///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Sum up each article in one sentence
//SOURCES ../lib/Sheaf.java
//FILES data/articles.json=../data/articles.json
//FILES templates/summary.mustache=../templates/summary.mustache

import static sheaf.Sheaf.*;

class Summary {
    public static void main(String... args) {
        var results = batch()
            .name("summary")
            .model("gpt-4.1-mini")
            .prompts(template("summary"), json("data/articles.json"))
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results();

        for (var result : results)
            System.out.println(result.row().getOrDefault("title", result.customId()) + "\n    "
                + (result.ok() ? result.text() : result.error()));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
