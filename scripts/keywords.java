///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Find the keywords of each article, and the articles of each keyword
//SOURCES ../lib/Sheaf.java
//FILES data/articles.json=../data/articles.json
//FILES templates/keywords.mustache=../templates/keywords.mustache

import static sheaf.Sheaf.*;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

class Keywords {
    public static void main(String... args) {
        var results = batch()
            .name("keywords")
            .model("gpt-4.1-mini")
            .prompts(template("keywords"), json("data/articles.json"))
            .temperature(0)
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results();

        var index = new TreeMap<String, List<String>>();
        for (var result : results.succeeded())
            for (var keyword : result.text().split(","))
                index.computeIfAbsent(keyword.strip(), none -> new ArrayList<>())
                    .add(String.valueOf(result.row().getOrDefault("title", result.customId())));
        index.forEach((keyword, titles) -> System.out.println(keyword + ": " + String.join(", ", titles)));
        results.failed().forEach(result -> System.err.println(result.customId() + ": " + result.error()));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
