///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Sort news into topics, taught by two examples
//SOURCES ../lib/Sheaf.java
//FILES data/news.csv=../data/news.csv
//FILES templates/topic.mustache=../templates/topic.mustache

import static sheaf.Sheaf.*;

class Topic {
    public static void main(String... args) {
        batch()
            .name("topic")
            .model("gpt-4.1-mini")
            .example("Swimmer wins her fourth title\nShe led from the first turn.", "Sports")
            .example("Battery made of salt\nIt charges in six minutes and does not burn.", "Sci/Tech")
            .prompts(template("topic"), csv("data/news.csv"))
            .choice("World", "Sports", "Business", "Sci/Tech")
            .temperature(0)
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results()
            .show();
    }
}
