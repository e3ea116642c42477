package sheaf.bench;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;
import sheaf.support.Project;
import sheaf.support.ServerProcess;

/**
 * Measures Sheaf as people run it, whole processes with JBang's part, against the Python that does the same work: each
 * pair in turn on the same machine, so that what else goes on there meets both.
 */
final class ClientBench {
    static final Size FULL = new Size(500_000, 50_000, 3);
    private static final Path SCRIPTS = Project.root().resolve("bench/client");
    private static final String[] WORDS = ("the batch of tea arrived late but tasted lovely, and my 'mother' said "
        + "\"never again\" \u00fcber na\u00efve cr\u00e8me coffee \u8336 price was fair delivery slow packaging broken "
        + "support answered kindly within two days").split(" ");
    private static final int WORDS_OF_A_ROW = 42;
    private final Path folder;
    private final Size size;
    private final PrintStream out;
    private String url;                                        // of the echo that answers both

    /** How many rows are expanded, how many make the whole journey, and how often what is short is timed. */
    record Size(int expanded, int journeyed, int times) {}

    ClientBench(Path folder, Size size, PrintStream out) {
        this.folder = folder;
        this.size = size;
        this.out = out;
    }

    /** Runs all of it, and prints a line for each work as it is done. */
    void run() throws IOException, InterruptedException {
        var server = ServerProcess.start(folder.resolve("store"), "echo");
        try {
            url = server.url();
            out.printf(Locale.ROOT, "%-34s %9s %9s %6s  %9s %9s  %7s  %s%n", "work, whole processes", "Sheaf s",
                "Python s", "ratio", "CPU s", "CPU s", "MB", "Sheaf is held up by");
            warm(sheaf("models", "--provider", url));
            warm(preview());
            warm(work("-R-Xmx128m", "expand", rows(10), folder.resolve("sheaf.jsonl")));
            starts();
            expansion();
            journey();
        } finally {
            server.stop();
        }
    }

    /** Builds it, and has its classes in an archive. */
    private void warm(List<String> command) throws IOException, InterruptedException {
        for (int i = 0; i < size.times; i++) timed(command);
    }

    private void starts() throws IOException, InterruptedException {
        compare("models(), warm", size.times, sheaf("models", "--provider", url), python("models.py", url));
        compare("ask --preview, warm; import openai", size.times, preview(),
            List.of("python3", "-c", "import openai"));
    }

    private List<String> preview() throws IOException {
        return sheaf("ask", "--preview", "-m", "echo", "-p", "{{text}}", "-d", rows(10).toString(), "--provider", url);
    }

    private void expansion() throws IOException, InterruptedException {
        var rows = rows(size.expanded);
        compare(number(size.expanded) + " rows to request lines", 1, work("-R-Xmx128m", "expand", rows,
            folder.resolve("sheaf.jsonl")), python("expand.py", rows, folder.resolve("python.jsonl")));
        check(lines("sheaf.jsonl"), lines("python.jsonl"));
    }

    private void journey() throws IOException, InterruptedException {
        var rows = rows(size.journeyed);
        compare(number(size.journeyed) + " rows there and back", 1, work("-R-Xmx256m", "journey", rows,
            folder.resolve("sheaf.csv"), url), python("journey.py", rows, folder.resolve("python.csv"), url));
        compare(number(size.journeyed) + " answers to their rows", 1, work("-R-Xmx256m", "join", "bench",
            folder.resolve("joined.csv")), python("join.py", rows, folder.resolve("python.csv"), answers()));
        check(lines("joined.csv"), lines("python.csv"));
    }

    private Path answers() throws IOException {
        try (var files = Files.walk(folder.resolve("home/batches"))) {
            return files.filter(file -> file.toString().endsWith("part-1.output.jsonl")).findFirst()
                .orElse(folder.resolve("python.csv.answers"));
        }
    }

    private static void check(long ours, long theirs) {
        if (ours != theirs) throw new AssertionError(ours + " lines of Sheaf's, and " + theirs + " of Python's");
    }

    private long lines(String file) throws IOException {
        if (Files.notExists(folder.resolve(file))) return -1;
        try (var lines = Files.lines(folder.resolve(file))) {
            return lines.count();
        }
    }

    /** Times them in turn, and prints the quickest of each: whatever else the machine does only ever adds. */
    private void compare(String what, int times, List<String> sheaf, List<String> python)
            throws IOException, InterruptedException {
        boolean isComparable = canRun(python);
        var ours = new ArrayList<Timed>();
        var theirs = new ArrayList<Timed>();
        for (int i = 0; i < times; i++) {
            ours.add(timed(sheaf));
            if (isComparable) theirs.add(timed(python));
        }
        var quickest = Comparator.comparing(Timed::seconds);
        print(what, ours.stream().min(quickest).orElseThrow(), theirs.stream().min(quickest).orElse(null));
    }

    private void print(String what, Timed ours, Timed theirs) {
        double busy = ours.cpu() / ours.seconds();
        var limit = ours.cpu() == 0 ? "" : busy < 0.7 ? "the server" : String.format(Locale.ROOT, "%.1f cores", busy);
        out.printf(Locale.ROOT, "%-34s %9.2f %9s %6s  %9.2f %9s  %7.0f  %s%n", what, ours.seconds(),
            theirs == null ? "none" : decimal(theirs.seconds()),
            theirs == null ? "" : decimal(ours.seconds() / theirs.seconds()), ours.cpu(),
            theirs == null ? "" : decimal(theirs.cpu()), ours.megabytes(), limit);
    }

    private static String decimal(double number) { return String.format(Locale.ROOT, "%.2f", number); }

    private static String number(long number) { return String.format(Locale.ROOT, "%,d", number); }

    /** Whether there is a Python, and what its script imports. */
    private boolean canRun(List<String> python) throws IOException, InterruptedException {
        boolean needsOpenAi = python.stream().anyMatch(word -> word.matches(".*(models|journey)[.]py|import openai"));
        try {
            return builder(List.of("python3", "-c", needsOpenAi ? "import openai" : "")).start().waitFor() == 0;
        } catch (IOException noPython) {
            return false;
        }
    }

    private Timed timed(List<String> command) throws IOException, InterruptedException {
        return Timed.run(builder(command));
    }

    private ProcessBuilder builder(List<String> command) {
        var builder = new ProcessBuilder(command).directory(Project.root().toFile())
            .redirectInput(new File("/dev/null")).redirectOutput(folder.resolve("out").toFile())
            .redirectError(folder.resolve("err").toFile());
        builder.environment().put("SHEAF_HOME", folder.resolve("home").toString());
        builder.environment().put("PYTHONDONTWRITEBYTECODE", "1");
        return builder;
    }

    private static List<String> sheaf(String... words) {
        return Stream.concat(Stream.of("./jbang"), Stream.of(words)).toList();
    }

    private static List<String> work(String heap, Object... words) {
        return Stream.concat(Stream.of("./jbang", "--quiet", heap, SCRIPTS.resolve("Work.java").toString()),
            Stream.of(words).map(Object::toString)).toList();
    }

    private static List<String> python(String script, Object... words) {
        return Stream.concat(Stream.of("python3", SCRIPTS.resolve(script).toString()),
            Stream.of(words).map(Object::toString)).toList();
    }

    /** Writes rows of some 290 bytes, with quotes, commas, accents, and newlines now and then. */
    private Path rows(int count) throws IOException {
        var file = folder.resolve("rows-" + count + ".csv");
        var random = new Random(7);
        try (var csv = Files.newBufferedWriter(file)) {
            csv.write("id,product,text\n");
            for (int i = 0; i < count; i++) {
                var text = new StringBuilder();
                for (int word = 0; word < WORDS_OF_A_ROW; word++)
                    text.append(word == 0 ? "" : i % 50 == 0 && word == 9 ? "\n" : " ")
                        .append(WORDS[random.nextInt(WORDS.length)]);
                csv.write(i + ",tea-" + i % 97 + ",\"" + text.toString().replace("\"", "\"\"") + "\"\n");
            }
        }
        return file;
    }
}
