///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION List old batches kept here and leftover files at the provider; --delete removes them
// a life of half a second has no use for the second compiler
//RUNTIME_OPTIONS -XX:TieredStopAtLevel=1 -XX:+NeverActAsServerClassMachine
//SOURCES ../../lib/Sheaf.java
//SOURCES ProviderOption.java
//SOURCES Typed.java
//SOURCES TimeConverter.java
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.ListResourceBundle;
import java.util.Locale;
import java.util.Map;
import java.util.ResourceBundle;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(name = "clean", sortOptions = false, customSynopsis = "clean [OPTION]...",
    description = {"Lists what is left of old batches, and with --delete deletes it.", "",
        "Runs are batches kept under ~/.sheaf (or SHEAF_HOME) that have ended, or of which nothing was ever sent. "
            + "Files are those at the provider of batches whose answers are here, and uploads that no batch was made "
            + "of. A batch that is going or waits, and a file of anyone else, is never listed and never deleted.", ""},
    footer = {"",
        "The provider is that of --provider, else of SHEAF_PROVIDER, of OPENAI_BASE_URL or of the only key that is "
            + "set, as in a script. Where none is, only runs are listed.",
        "",
        "Exit codes: 0 if all that was asked is done, 1 if something could not be listed or deleted, 2 for a wrong "
            + "option. The list goes to stdout, all else to stderr."})
class clean implements Callable<Integer> {
    private static final int SHOWN = 5;                        // names in a sentence about them

    /** What an option that all commands have does in this one. */
    private static final ResourceBundle WORDS = new ListResourceBundle() {
        @Override protected Object[][] getContents() {
            return new Object[][] {{"provider",
                "only batches and files of this provider: its name, such as openai, or its base URL"}};
        }
    };

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
    boolean help;

    @Option(names = "--delete", description = "deletes what is listed without it, and says so of each")
    boolean delete;

    @Option(names = "--older", paramLabel = "TIME", converter = TimeConverter.class,
        description = "only what is older, such as 7d or 12h (default: 30d for runs, 1d for files)")
    Duration older;

    @Option(names = "--runs", description = "only batches kept here; asks no provider")
    boolean runs;

    @Option(names = "--files", description = "only files at the provider")
    boolean files;

    @Mixin ProviderOption provider;

    @Spec CommandSpec spec;

    public static void main(String... args) { System.exit(run(args)); }

    static int run(String... args) {
        return Typed.run(new CommandLine(new clean()).setResourceBundle(WORDS), () -> false, args);
    }

    @Override public Integer call() {
        var runsAge = older != null ? older : Duration.ofDays(30);
        var filesAge = older != null ? older : Duration.ofDays(1);
        var batches = new ArrayList<Batch>();
        var left = new ArrayList<Map<String, Object>>();
        if (runs || !files) batches.addAll(list("Batches kept here that are over, submitted more than "
            + text(runsAge) + " ago", old(runsAge)));
        var asked = files ? provider.chosen() : runs ? null : provider.askable("files").orElse(null);
        if (asked != null) left.addAll(list("Files at " + asked.label() + " that no one needs any more, over "
            + text(filesAge) + " old", asked.leftovers(filesAge)));
        return delete ? delete(batches, left, asked) : explain(batches, left);
    }

    private <T> Listing<T> list(String title, Listing<T> listing) {
        if (!delete) System.out.println(title + ":\n" + listing + "\n");
        return listing;
    }

    private Listing<Batch> old(Duration age) {
        var old = kept().only(batch -> batch.submittedAt().isBefore(Instant.now().minus(age))
            && (!provider.isGiven() || provider.chosen().label().equals(batch.provider().label())));
        var going = old.only(batch -> !batch.isOver());
        if (!going.isEmpty()) System.err.println(notOver(going));
        return old.only(Batch::isOver);
    }

    private static String notOver(Listing<Batch> going) {
        var names = going.stream().map(clean::name).limit(SHOWN).collect(Collectors.joining(", "));
        return "runs: " + going.size() + " as old " + (going.size() == 1 ? "is" : "are")
            + " not over, as last seen, and not listed: " + names + (going.size() > SHOWN ? ", ..." : "")
            + "; run the script again, or cancel the batch";
    }

    private int explain(List<Batch> batches, List<Map<String, Object>> left) {
        if (batches.isEmpty() && left.isEmpty()) return 0;
        System.out.println("To delete " + count(batches.size(), left.size()) + ": " + Typed.launcher() + " clean "
            + spec.commandLine().getParseResult().originalArgs().stream().map(arg -> arg + " ")
                .collect(Collectors.joining()) + "--delete");
        warn(batches.size());
        return 0;
    }

    /**
     * Deletes files first: once its batch is gone from here, no one knows that a file is left over. So a batch stays
     * while the network keeps a file of it.
     */
    private int delete(List<Batch> batches, List<Map<String, Object>> left, Provider asked) {
        var cutOff = new HashSet<>();
        long files = left.stream().filter(file -> deleted("file " + file.get("id") + " (" + file.get("kind") + " of "
            + file.get("folder") + ")", () -> asked.deleteFile((String) file.get("id")),
            () -> cutOff.add(file.get("folder")))).count();
        long runs = batches.stream().filter(batch -> !cutOff.contains(name(batch)))
            .filter(batch -> deleted("batch " + name(batch), batch::delete, () -> {})).count();
        System.out.println(count(runs, files) + " deleted");
        warn(runs);
        return runs + files == batches.size() + left.size() ? 0 : 1;
    }

    private static boolean deleted(String what, Runnable delete, Runnable cutOff) {
        try {
            delete.run();
            System.out.println("deleted " + what);
            return true;
        } catch (BatchException | IllegalStateException refused) {
            System.err.println(refused.getMessage());
        } catch (UncheckedIOException e) {
            cutOff.run();
            System.err.println(e.getMessage());
        }
        return false;
    }

    private static void warn(long batches) {
        if (batches > 0)
            System.err.println("runs: a deleted batch takes its answers along; its script, run again, attaches to what "
                + "the provider still has of it, and what is gone there too has to be paid for again");
    }

    private static String name(Batch batch) { return batch.folder().getFileName().toString(); }

    private static String count(long batches, long files) {
        if (batches + files == 0) return "nothing";
        return Stream.of(count(batches, "batch", "batches"), count(files, "file", "files"))
            .filter(part -> !part.isEmpty()).collect(Collectors.joining(" and "));
    }

    private static String count(long number, String one, String several) {
        if (number == 0) return "";
        return number + " " + (number == 1 ? one : several);
    }

    private static String text(Duration age) {
        for (var unit : List.of(ChronoUnit.DAYS, ChronoUnit.HOURS, ChronoUnit.MINUTES)) {
            long number = age.dividedBy(unit.getDuration());
            var name = unit.name().toLowerCase(Locale.ROOT);
            if (age.equals(unit.getDuration().multipliedBy(number)))
                return number + " " + (number == 1 ? name.replaceFirst("s$", "") : name);
        }
        return age.toSeconds() + " seconds";
    }
}
