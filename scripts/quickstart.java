///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask two tutors and a cook: a real batch on real rows, free and local unless a provider is named
//SOURCES ../lib/Sheaf.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/LocalModel.java
//FILES data/experts.csv=../data/experts.csv
//FILES templates/question.mustache=../templates/question.mustache

import static sheaf.Sheaf.*;

import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
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
            .prompts(template("question"), csv("data/experts.csv"))
            .maxTokens(300)
            .options(options)
            .submit()
            .await()
            .results()
            .show();
    }

    /** Free: a model on this machine, a larger one by {@code --model large}; where there can be none, an echo. */
    static void local(String... args) {
        var rest = new ArrayList<>(Stream.of(args).flatMap(arg -> Stream.of(arg.split("(?<=^--model)=", 2))).toList());
        try (var model = model(taken("--model", rest)); var server = server(model)) {
            var name = model == null ? "echo" : model.model();
            rest.addAll(0, List.of("--provider", server.baseUrl(), "--model", name, "--temperature", "0"));
            ask(rest.toArray(String[]::new));
            System.out.println(model == null ? "No model was to be had: an echo engine said each question back."
                : "Answered here by " + model.describe().replaceFirst(" on ", "\non ") + ".\n" + better(model));
        } catch (IllegalArgumentException mistake) {
            System.err.println(mistake.getMessage());
            System.exit(2);
        }
    }

    /** Takes an option and its value out of a command line. */
    static Optional<String> taken(String option, List<String> args) {
        int at = args.indexOf(option);
        if (at < 0 || at + 1 == args.size()) return Optional.empty();
        args.remove(at);
        return Optional.of(args.remove(at));
    }

    /** The server that runs here already may have an echo behind it; that is not to pass for a model. */
    static BatchServer server(LocalModel model) {
        if (model == null) return BatchServer.local("echo");
        var running = BatchServer.local(model.baseUrl());
        var names = Provider.of(running.baseUrl()).models().stream().map(each -> each.get("id")).toList();
        if (names.contains(model.model())) return running;
        running.close();
        return BatchServer.start(model.baseUrl());
    }

    static LocalModel model(Optional<String> wish) {
        try {
            return wish.map(LocalModel.options()::model).orElse(LocalModel.options()).start();
        } catch (UncheckedIOException | IllegalStateException none) {
            System.err.println(none.getMessage());
            return null;
        }
    }

    /** Says what better answers cost. */
    static String better(LocalModel model) {
        var large = LocalModel.known().stream().filter(known -> known.size().equals("large")).toList();
        boolean isLarge = large.stream().anyMatch(known -> known.name().equals(model.model()));
        var here = large.stream().filter(LocalModel.Known::isHere).findFirst();
        var cost = here.map(known -> "it is here").orElse(megabytes(large) + " MB once");
        var larger = String.format(Locale.ROOT, "--model large answers better (%s, %.1f GB of memory);\n", cost,
            here.orElse(large.get(large.size() - 1)).memory() / 1e9);
        return (isLarge ? "" : larger) + "--provider NAME asks a hosted model.";
    }

    /** Which of them can be had is known only when it is asked for. */
    static String megabytes(List<LocalModel.Known> models) {
        return models.stream().map(known -> "" + known.bytes() / 1_000_000).collect(Collectors.joining(" or "));
    }
}
