///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Compare two models by their accuracy on labelled news
//SOURCES ../lib/Sheaf.java
//FILES data/news.csv=../data/news.csv
//FILES templates/topic.mustache=../templates/topic.mustache

import static sheaf.Sheaf.*;

import java.util.List;

class CompareModels {
    public static void main(String... args) {
        var results = batch()
            .name("compare-models")
            .model("gpt-4.1-mini", "gpt-4.1-nano")
            .prompts(template("topic"), csv("data/news.csv"))
            .choice("World", "Sports", "Business", "Sci/Tech")
            .temperature(0)
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results();

        results.by(Result::answeredBy).forEach((answeredBy, answers) -> {
            var asked = answers.by(Result::model).keySet();
            if (answeredBy.isEmpty() || asked.size() == 1) return;
            System.err.printf("compare-models: %s answered as %s, so there is nothing to compare; give --model two "
                + "that this provider has%n", answeredBy, String.join(" and as ", asked));
            System.exit(1);
        });

        var models = results.by(Result::model);
        var two = List.copyOf(models.values());
        boolean isLabelled = results.stream().allMatch(result -> result.row().containsKey("label"));
        if (!isLabelled) two.stream().skip(1).forEach(other -> compare(two.get(0), other).show());
        else if (two.size() == 2) compare(two.get(0), two.get(1), "label").show();
        else models.forEach((model, answers) -> System.out.println(model + ": " + answers.accuracy("label")));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
