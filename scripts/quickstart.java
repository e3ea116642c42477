///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a cook and two maths tutors: a real batch on real rows, free and local unless a provider is named
//SOURCES ../lib/Sheaf.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/LocalModel.java
//FILES data/questions.csv=../data/questions.csv
//FILES templates/question.mustache=../templates/question.mustache

import static sheaf.Sheaf.*;

import java.io.UncheckedIOException;
import java.util.stream.Stream;
import sheaf.server.BatchServer;
import sheaf.model.LocalModel;

class quickstart {
    public static void main(String... args) {
        boolean isNamed = System.getenv("SHEAF_PROVIDER") != null
            || Stream.of(args).anyMatch(arg -> arg.matches("--provider.*|--help|-h"));
        if (isNamed) ask(args);
        else local(args);
    }

    static void ask(String... options) {
        batch()
            .name("quickstart")
            .model(System.getenv().getOrDefault("SHEAF_MODEL", "gpt-4.1-mini"))
            .system("You are {{persona}}.")
            .prompts(template("question"), csv("data/questions.csv"))
            .maxTokens(300)
            .options(options)
            .submit()
            .await()
            .results()
            .show();
    }

    /** Free: a small model on this machine; where there can be none, an echo shows the journey. */
    static void local(String... args) {
        try (var model = model(); var server = model == null ? BatchServer.local("echo") : server(model)) {
            ask(Stream.concat(Stream.of("--provider", server.baseUrl(), "--model", model == null ? "echo"
                : model.model()), Stream.of(args)).toArray(String[]::new));
            System.out.println(model == null ? "No model was to be had: an echo engine said each question back."
                : "Answered on this machine by " + model.describe() + "; --provider names a larger one.");
        }
    }

    /** The server that runs here already may have an echo behind it; that is not to pass for a model. */
    static BatchServer server(LocalModel model) {
        var running = BatchServer.local(model.baseUrl());
        var names = Provider.of(running.baseUrl()).models().stream().map(each -> each.get("id")).toList();
        if (names.contains(model.model())) return running;
        running.close();
        return BatchServer.start(model.baseUrl());
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
