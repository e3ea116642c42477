//SOURCES CsvOptions.java
//SOURCES FileFormat.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Where the answers go: a file, a table on a terminal, or JSON Lines for a pipe. */
final class OutputOptions {
    @Option(names = {"-o", "--out"}, paramLabel = "FILE",
        description = "where the answers go: a .csv or .jsonl file; - for JSON Lines on standard output")
    String out;

    @Option(names = "--force", description = "overwrites the file of --out, whoever wrote it (default: only one that a "
        + "batch of this name wrote, unchanged since)")
    boolean force;

    @Mixin CsvOptions csv;

    boolean isGiven() { return out != null; }

    boolean isFile() { return isGiven() && !out.equals("-"); }

    /** Says what is wrong with the file, while nothing has been sent; these files are what is read. */
    void check(List<String> inputs) throws IOException {
        csv.check(out);
        if (!isFile()) return;
        var fault = fault(Path.of(out).toAbsolutePath().normalize(), inputs);
        if (!fault.isEmpty()) throw new IllegalArgumentException("out: " + fault);
    }

    private String fault(Path file, List<String> inputs) throws IOException {
        if (!FileFormat.ending(out).matches("csv|jsonl")) return out + " ends in neither .csv nor .jsonl";
        if (Files.isDirectory(file)) return out + " is a folder; name a file in it";
        if (!Files.isDirectory(file.getParent())) return "no folder " + file.getParent() + "; make it first";
        if (!Files.isWritable(file.getParent())) return "cannot write to " + file.getParent();
        for (var input : inputs)
            if (isSame(file, Path.of(input))) return out + " is what is read; give another name";
        return "";
    }

    /** Refuses another's file; {@code owner} does, of those that it does not know. */
    void checkOwner(Consumer<Path> owner) {
        if (isFile() && !force) owner.accept(Path.of(out));
    }

    private static boolean isSame(Path file, Path other) throws IOException {
        return Files.exists(file) && Files.exists(other) && Files.isSameFile(file, other);
    }

    /** Writes all answers, or shows the first on a terminal. */
    void write(Results results, BooleanSupplier isTerminal) throws IOException {
        if (isFile()) writeAndSay(results);
        else if (isGiven() || !isTerminal.getAsBoolean()) print(results);
        else results.show();
    }

    private void writeAndSay(Results results) {
        save(results);
        System.err.println("wrote " + out + " (" + text(results.counts()) + "; " + results.usage() + ")");
    }

    /** Writes all answers to the file. */
    void save(Results results) {
        var writing = force ? results.overwriting() : results;
        if (FileFormat.ending(out).equals("csv")) csv.write(writing, out);
        else writing.toJsonl(out);
    }

    static String text(Map<Outcome, Long> counts) {
        return counts.entrySet().stream().map(entry -> number(entry.getValue()) + " " + entry.getKey())
            .collect(Collectors.joining(", "));
    }

    /** Returns a number as all that people read has it. */
    static String number(long number) { return String.format(Locale.ROOT, "%,d", number); }

    private static void print(Results results) throws IOException {
        var lines = new BufferedOutputStream(System.out, 1 << 16);
        results.toJsonl(lines);
        lines.flush();
    }
}
