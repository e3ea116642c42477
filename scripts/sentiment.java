///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Tell happy reviews from unhappy ones, and count them
//SOURCES ../lib/Sheaf.java
//FILES data/reviews.csv=../data/reviews.csv
//FILES templates/sentiment.mustache=../templates/sentiment.mustache

import static sheaf.Sheaf.*;

class Sentiment {
    public static void main(String... args) {
        var results = batch()
            .model("gpt-4.1-mini")
            .prompts(template("sentiment"), csv("data/reviews.csv"))
            .choice("positive", "negative", "neutral")
            .temperature(0)
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results();

        results.show();
        results.succeeded().by(Result::choice)
            .forEach((sentiment, reviews) -> System.out.println(sentiment + ": " + reviews.size()));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
