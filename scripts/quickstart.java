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
    static final String USAGE = "quickstart: takes --provider NAME --model MODEL, or nothing for a free model on this machine";

    public static void main(String... args) {
        if (args.length == 4 && args[0].equals("--provider") && args[2].equals("--model")) ask(Provider.named(args[1]), args[3]);
        else if (args.length > 0) throw new IllegalArgumentException(USAGE);
        else if (System.getenv("SHEAF_PROVIDER") != null) ask(Provider.chosen(), System.getenv("SHEAF_MODEL"));
        else local();
    }

    static void ask(Provider provider, String model) {
        batch()
            .provider(provider)
            .model(model)
            .system("You are {{persona}}.")
            .prompts(template("question"), csv("data/questions.csv"))
            .maxTokens(1000)
            .submit()
            .await()
            .results()
            .show();
    }

    static void local() {
        try (var model = LocalModel.start(); var server = BatchServer.local(model.baseUrl())) {
            ask(Provider.of(server.baseUrl()), model.model());
            System.out.println("Answered on this machine by " + model + ". It is small, and so are its answers.");
        } catch (UncheckedIOException noWeights) {
            System.err.println(noWeights.getMessage());
            echo();
        }
    }

    static void echo() {
        try (var server = BatchServer.local("echo")) {
            ask(Provider.of(server.baseUrl()), "echo");
            System.out.println("No model was to be had, so the echo engine said each question back: the journey, without the answers.");
        }
    }
}
