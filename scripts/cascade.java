///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Label news by a small model, and by a better one where the small one was not sure
//SOURCES ../lib/Sheaf.java
//FILES data/news.csv=../data/news.csv
//FILES templates/topic.mustache=../templates/topic.mustache

import static sheaf.Sheaf.*;

class Cascade {
    public static void main(String... args) {
        var better = System.getenv().getOrDefault("BETTER", "gpt-4.1");
        var news = batch()
            .model("gpt-4.1-nano")
            .prompts(template("topic"), csv("data/news.csv"))
            .choice("World", "Sports", "Business", "Sci/Tech")
            .confidence()
            .temperature(0)
            .maxTokens(50)
            .options(args);
        System.err.println("by the small model: " + news.estimate().summary());
        System.err.println("by " + better + " alone: " + news.model(better).estimate().summary());

        var results = news.submit().await().results();
        var unsure = results.below(0.8);
        var all = results;
        if (unsure.size() > 0) {
            var again = unsure.retry().model(better);
            System.err.println("and by " + better + " what is unsure: " + again.estimate().summary());
            all = results.merge(again.submit().await().results());
        }

        all.show();
        if (results.stream().allMatch(result -> result.row().containsKey("label")))      // yours need not have one
            System.out.println("right by the small model: " + results.accuracy("label") + "\nwith " + unsure.size()
                + " asked again: " + all.accuracy("label"));
        all.cost().show();
        System.exit(all.exitCode().number());                  // 3: a row has no answer
    }
}
