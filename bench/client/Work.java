///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION What the benchmark of the client measures: expand, journey or join
//SOURCES ../../lib/Sheaf.java

import static sheaf.Sheaf.*;

/** The same as the Python beside it, in Sheaf. */
class Work {
    public static void main(String... args) {
        switch (args[0]) {
            case "expand" -> draft(args[1]).provider("openai").toJsonl(args[2]);
            case "journey" -> draft(args[1]).provider(args[3]).submit().await().results().toCsv(args[2]);
            case "join" -> batch(args[1]).results().toCsv(args[2], "id", "product", "text", "result.text");
            default -> throw new IllegalArgumentException("work: no " + args[0]);
        }
    }

    static Draft draft(String rows) {
        return batch().name("bench").model("echo").system("You are a careful reader.")
            .prompts("Product {{product}}: is this review happy? {{text}}", csv(rows))
            .temperature(0).maxTokens(20).quiet();
    }
}
