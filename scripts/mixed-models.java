///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Send each row to the model that it names, one of them with an image
//SOURCES ../lib/Sheaf.java
//FILES data/mixed.csv=../data/mixed.csv

import static sheaf.Sheaf.*;

class MixedModels {
    public static void main(String... args) {
        batch()
            .model("{{model}}")
            .system("{{system}}")                              // a row that leaves it empty has none
            .prompts("{{question}}", csv("data/mixed.csv"))
            .image("{{image}}")                                // likewise
            .maxTokens(1000)
            .options(args)
            .submit()
            .await()
            .results()
            .show();
    }
}
