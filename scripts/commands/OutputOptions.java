//SOURCES CsvOptions.java
//SOURCES FileFormat.java
//SOURCES TableFiles.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Where the answers go: a file, a table on a terminal, or JSON Lines for a pipe; and what is written beside them. */
final class OutputOptions {
    private static final List<String> TEXTS = List.of("csv", "jsonl", "html");
    private static final List<String> TABLES = List.of("parquet", "xlsx");
    private static final String WRITTEN_BY_ASK = "; the ask that sent the batch writes it, run again with this --out: "
        + "nothing is sent or paid twice";

    @Option(names = {"-o", "--out"}, paramLabel = "FILE",
        description = "where the answers go: .csv, .jsonl, .parquet, .xlsx or .html, a page to look at; - for JSON "
            + "Lines on standard output")
    String out;

    @Option(names = "--force", description = "overwrites the file of --out, whoever wrote it (default: only one that a "
        + "batch of this name wrote, unchanged since)")
    boolean force;

    @Mixin CsvOptions csv;

    @Option(names = "--failed", paramLabel = "FILE",
        description = "writes the rows without a whole answer as the data has them, .csv or .jsonl, to give as --data "
            + "next; or to an .html page, with why")
    String failed;

    @Option(names = "--report", paramLabel = "FILE.json",
        description = "writes what this run was: prompts, model, digest, requests by outcome, tokens, times")
    String report;

    TableFiles tables = TableFiles.NONE;
    List<String> endings = TEXTS;                              // of what --out may name

    boolean isGiven() { return out != null; }

    boolean isFile() { return isGiven() && !isPiped(); }

    boolean isPiped() { return isGiven() && out.equals("-"); }

    /** From now on each file has a name by which nobody takes what is in it for answers: films.rehearsal.csv. */
    void isRehearsed() {
        if (isFile()) out = rehearsed(out);
        failed = rehearsed(failed);
        report = rehearsed(report);
    }

    private static String rehearsed(String file) {
        return file == null ? null : file.replaceFirst("(?=\\.[^./]*$)", ".rehearsal");
    }

    /** Says what is wrong with the file, while nothing has been sent; these files are what is read. */
    void check(List<String> inputs) throws IOException {
        csv.check(out);
        if (isFile()) check("out", out, inputs, endings);
        if (failed != null) check("failed", failed, inputs, TEXTS);
        if (report != null) check("report", report, inputs, List.of("json"));
        var files = files().map(file -> file.toAbsolutePath().normalize()).toList();
        if (files.stream().distinct().count() < files.size())
            throw new IllegalArgumentException("out: two files of one name; give each its own");
    }

    private static void check(String word, String name, List<String> inputs, List<String> endings) throws IOException {
        var ending = FileFormat.ending(name);
        var elsewhere = word.equals("out") && TABLES.contains(ending) ? WRITTEN_BY_ASK : "";
        var fault = !endings.contains(ending) ? name + unlike(endings) + elsewhere
            : fault(name, Path.of(name).toAbsolutePath().normalize(), inputs);
        if (!fault.isEmpty()) throw new IllegalArgumentException(word + ": " + fault);
    }

    private static String unlike(List<String> endings) {
        int last = endings.size() - 1;
        if (last == 0) return " does not end in ." + endings.get(0);
        return " ends in none of ." + String.join(", .", endings.subList(0, last)) + " and ." + endings.get(last);
    }

    private static String fault(String name, Path file, List<String> inputs) throws IOException {
        if (Files.isDirectory(file)) return name + " is a folder; name a file in it";
        if (!Files.isDirectory(file.getParent())) return "no folder " + file.getParent() + "; make it first";
        if (!Files.isWritable(file.getParent())) return "cannot write to " + file.getParent();
        for (var input : inputs)
            if (isSame(file, Path.of(input))) return name + " is what is read; give another name";
        return "";
    }

    private Stream<Path> files() {
        return Stream.of(isFile() ? out : null, failed, report).filter(Objects::nonNull).map(Path::of);
    }

    /** Refuses another's file; {@code owner} does, of those that it does not know. */
    void checkOwner(Consumer<Path> owner) {
        if (force) return;
        if (isFile()) owner.accept(Path.of(out));
        if (failed != null) named("failed", failed, owner);
        if (report != null) named("report", report, owner);
    }

    private static void named(String word, String file, Consumer<Path> owner) {
        try {
            owner.accept(Path.of(file));
        } catch (IllegalStateException another) {
            throw new IllegalStateException(another.getMessage().replaceFirst("^out: ", word + ": "), another);
        }
    }

    private static boolean isSame(Path file, Path other) throws IOException {
        return Files.exists(file) && Files.exists(other) && Files.isSameFile(file, other);
    }

    /** Writes all answers, or shows the first on a terminal. */
    void write(Results results, boolean saysSo, BooleanSupplier isTerminal) throws IOException {
        if (isPiped() || !isGiven() && !isTerminal.getAsBoolean()) print(results);
        else if (!isGiven()) results.show();
        writeFiles(results, saysSo);
    }

    void writeFiles(Results results, boolean saysSo) {
        if (isFile()) save(results);
        if (isFile() && saysSo)
            System.err.println("wrote " + out + " (" + text(results.counts()) + "; " + results.usage() + ")");
        var writing = force ? results.overwriting() : results;
        if (failed != null) writeFailed(writing);
        if (report != null) writing.toReport(Path.of(report));
    }

    /** The rows as they are, each once, so that the file can be the next one's data; only a header if none failed. */
    private void writeFailed(Results results) {
        var columns = new LinkedHashSet<String>();
        results.stream().limit(1).forEach(first -> columns.addAll(first.row().keySet()));
        results.failed().forEach(result -> columns.addAll(result.row().keySet()));
        if (FileFormat.ending(failed).equals("csv")) columns.remove("result");   // no cell holds an answer
        var names = columns.toArray(String[]::new);
        switch (FileFormat.ending(failed)) {
            case "csv" -> results.failed().toCsv(failed, EnumSet.of(CsvOption.WIDE, CsvOption.FORMULAS), names);
            case "html" -> results.failed().toHtml(failed);
            default -> results.failed().toJsonl(failed, names);
        }
    }

    /** Writes all answers to the file. */
    void save(Results results) {
        var writing = force ? results.overwriting() : results;
        switch (FileFormat.ending(out)) {
            case "csv" -> csv.write(writing, out);
            case "html" -> writing.toHtml(out);
            case "parquet", "xlsx" -> tables.write(writing, Path.of(out), csv.columns.toArray(String[]::new));
            default -> writing.toJsonl(out);
        }
    }

    static String text(Map<Outcome, Long> counts) {
        return counts.entrySet().stream().map(entry -> number(entry.getValue()) + " " + entry.getKey())
            .collect(Collectors.joining(", "));
    }

    /** Returns a number as all that people read has it. */
    static String number(long number) { return String.format(Locale.ROOT, "%,d", number); }

    static void print(Results results) throws IOException {
        var lines = new BufferedOutputStream(System.out, 1 << 16);
        results.toJsonl(lines);
        lines.flush();
    }
}
