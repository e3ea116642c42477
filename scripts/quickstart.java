///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a cook and two maths tutors: a real batch on real rows, free and local unless a provider is named
//SOURCES ../lib/Sheaf.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/LocalModel.java
//FILES data/questions.csv=../data/questions.csv
//FILES templates/question.mustache=../templates/question.mustache

import static sheaf.Sheaf.*;

import java.io.UncheckedIOException;
import sheaf.BatchServer;
import sheaf.LocalModel;

class quickstart {
    public static void main(String... args) {
        var provider = System.getenv("SHEAF_PROVIDER");
        var model = System.getenv("SHEAF_MODEL");
        if (args.length == 4 && args[0].equals("--provider") && args[2].equals("--model")) {
            ask(Provider.named(args[1]), args[3]);
        } else if (args.length > 0 || provider != null && model == null) {
            System.err.println("quickstart: takes --provider NAME --model MODEL, or both as SHEAF_PROVIDER and "
                + "SHEAF_MODEL, or neither");
            System.exit(2);
        } else if (provider != null) {
            ask(Provider.named(provider), model);
        } else {
            local();
        }
    }

    static void ask(Provider provider, String model) {
        batch()
            .provider(provider)
            .model(model)
            .system("You are {{persona}}.")
            .prompts(template("question"), csv("data/questions.csv"))
            .maxTokens(300)
            .submit()
            .await()
            .results()
            .show();
    }

    /** Free: a small model on this machine; where there can be none, an echo shows the journey. */
    static void local() {
        try (var model = model(); var server = BatchServer.local(model == null ? "echo" : model.baseUrl())) {
            ask(Provider.of(server.baseUrl()), model == null ? "echo" : model.model());
            System.out.println(model == null ? "No model was to be had: an echo engine said each question back."
                : "Answered on this machine by " + model.describe() + "; --provider names a larger one.");
        }
    }

    static LocalModel model() {
        try {
            return LocalModel.start();
        } catch (UncheckedIOException | IllegalStateException none) {
            System.err.println(none.getMessage());
            return null;
        }
    }
}
