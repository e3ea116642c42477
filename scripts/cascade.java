///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Label news by a small model, and by a better one where the small one was not sure
//SOURCES ../lib/Sheaf.java
//FILES data/news.csv=../data/news.csv
//FILES templates/topic.mustache=../templates/topic.mustache

import static sheaf.Sheaf.*;

class Cascade {
    public static void main(String... args) {
        var better = System.getenv().getOrDefault("BETTER", "gpt-4.1");
        var results = batch()
            .model("gpt-4.1-nano")
            .prompts(template("topic"), csv("data/news.csv"))
            .choice("World", "Sports", "Business", "Sci/Tech")
            .confidence()
            .temperature(0)
            .maxTokens(50)
            .options(args)
            .submit()
            .await()
            .results();

        var unsure = results.below(0.8);
        var all = unsure.size() == 0 ? results
            : results.merge(unsure.retry().model(better).submit().await().results());

        all.show();
        System.out.printf("%.0f%% by the small model, %.0f%% with %d of %d asked again%n",
            100 * results.accuracy("label"), 100 * all.accuracy("label"), unsure.size(), all.size());
        all.by(Result::model).forEach((model, answers) -> System.out.println(model + ": " + answers.usage()));
    }
}
