package sheaf.model;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiPredicate;

/**
 * Which of the models that a user would take this machine gets: of each size, one that is here before one that is
 * fetched, and none that its memory is too small for. It does not know what was asked for.
 *
 * @param wished the models that would do, best first, by size; those of one size stand in for each other
 * @param memory the bytes that are free for a model
 * @param consent whether a model is to be fetched from a place
 */
record Choice(List<List<ModelFile>> wished, long memory, BiPredicate<ModelFile, Download> consent) {
    /** A model, and where its file is. */
    record Found(ModelFile model, Path file) { }

    /** Asks on the terminal whether a model is to be fetched; where there is none, says that it is. */
    static boolean ask(ModelFile model, Download place) {
        if (Machine.terminal().isEmpty()) return announce(model, place);
        System.err.print("sheaf: fetch " + model + " from " + place.name() + "? [Y/n] ");
        var answer = Machine.terminal().get().readLine();
        return answer != null && !answer.strip().matches("(?i)n|no");
    }

    /** Says that a model is fetched. */
    static boolean announce(ModelFile model, Download place) {
        System.err.println("sheaf: fetching " + model + " from " + place.name());
        return true;
    }

    /**
     * Returns the first that can be had; stderr says why it is not a better one.
     * @throws IllegalStateException if the only one is too large for the memory
     * @throws UncheckedIOException if none can be had
     */
    Found take() {
        var failures = new LinkedHashMap<ModelFile, String>();
        for (var size : wished) {
            var fitting = size.stream().filter(model -> fits(model, failures)).toList();
            for (var model : fitting) {
                var here = new Search(model).here();
                if (here.isPresent()) return new Found(model, here.get());
            }
            var fetched = fetch(fitting, failures);
            if (fetched != null) return fetched;
        }
        throw none(failures);
    }

    /** The smallest model is tried anyhow: less cannot be had. */
    private boolean fits(ModelFile model, Map<ModelFile, String> failures) {
        if (model.memory() <= memory || model.equals(KnownModels.SMOLLM2)) return true;
        var why = "it needs " + gigabytes(model.memory()) + " of memory, and " + gigabytes(memory) + " are free";
        if (wished.equals(List.of(List.of(model))))
            throw new IllegalStateException("start: " + model.name() + " cannot run here (" + why
                + "); free some, or name a smaller model");
        note(model, why, failures);
        return false;
    }

    /** Returns the first that a place has; null if none has, or nobody wants one of that size. */
    private Found fetch(List<ModelFile> models, Map<ModelFile, String> failures) {
        for (var model : models) {
            try {
                return new Found(model, new Search(model).fetch(place -> consent.test(model, place)));
            } catch (IOException e) {
                note(model, Machine.reason(e), failures);
            } catch (Search.Declined e) {
                note(model, e.getMessage(), failures);
                return null;
            }
        }
        return null;
    }

    private void note(ModelFile model, String why, Map<ModelFile, String> failures) {
        failures.put(model, why);
        if (wished.stream().mapToInt(List::size).sum() > 1)
            System.err.println("sheaf: no " + model.name() + " (" + why + ")");
    }

    private static UncheckedIOException none(Map<ModelFile, String> failures) {
        var why = failures.entrySet().stream().map(failure -> failure.getKey().name() + " (" + failure.getValue() + ")")
            .collect(joining(", "));
        return new UncheckedIOException("start: no weights for " + why + "; name a GGUF file, or the URL of a running"
            + " server, or " + remedy(failures), new IOException(why));
    }

    /** Whoever declined was asked by a place that answered, so it is not the network. */
    private static String remedy(Map<ModelFile, String> failures) {
        if (failures.containsValue(Search.Declined.WORD)) return "let one be fetched";
        return Search.isOffline() ? "switch the network on once" : "go online once, or install pip";
    }

    /** Returns a size as people read it, such as {@code 1.4 GB}. */
    static String gigabytes(long bytes) { return Math.max(1, bytes / 100_000_000) / 10.0 + " GB"; }
}
