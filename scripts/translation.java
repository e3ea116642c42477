///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Translate each row into the language that it names, and write a CSV
//SOURCES ../lib/Sheaf.java
//FILES data/phrases.csv=../data/phrases.csv
//FILES templates/translation.mustache=../templates/translation.mustache

import static sheaf.Sheaf.*;

class Translation {
    public static void main(String... args) {
        var results = batch()
            .model("gpt-4.1-mini")
            .system("You are a translator. Keep the tone of the original.")
            .prompts(template("translation"), csv("data/phrases.csv"))
            .maxTokens(200)
            .options("--out", "translations.csv")              // unless another is named
            .options(args)
            .submit()
            .await()
            .results();

        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
