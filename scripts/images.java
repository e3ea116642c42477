///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a question about each image: an address, or a file of yours
//SOURCES ../lib/Sheaf.java
//FILES data/images.csv=../data/images.csv
//FILES templates/image.mustache=../templates/image.mustache

import static sheaf.Sheaf.*;

class Images {
    public static void main(String... args) {
        batch()
            .model("gpt-4.1-mini")
            .prompts(template("image"), csv("data/images.csv"))
            .image("{{url}}")
            .maxTokens(1000)
            .options(args)
            .submit()
            .await()
            .results()
            .show();
    }
}
