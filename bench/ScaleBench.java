package sheaf.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import de.siegmar.fastcsv.reader.CsvReader;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;

/**
 * Takes very many rows through submit, wait and join, in a client and at a server that are processes of their own. The
 * queue has room for a few of several hundred parts, days pass in minutes, and the windows of the first parts end
 * before they do. Then each row is looked for in what was written, and each batch at the server.
 */
final class ScaleBench {
    static final Size FULL = new Size(10_000_000, "256m", 25_000);
    private static final long DISK_PER_ROW = 2_500;            // bytes, of all files of both
    private static final int IN_QUEUE = 4;                     // parts that have room
    private static final int WORDS_OF_A_ROW = 10;
    private static final long PART_BYTES = 200_000_000;
    private static final String TEXT = "Row %d of our survey: tea came late, tasted good";
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Path folder;
    private final Size size;
    private final PrintStream out;

    /** How many rows there are, the heap of the client, and how many rows are a part. */
    record Size(int rows, String heap, int part) {}

    ScaleBench(Path folder, Size size, PrintStream out) {
        this.folder = folder;
        this.size = size;
        this.out = out;
    }

    /** Runs all of it, and prints a line for each step as it is done. */
    void run() throws IOException, InterruptedException {
        checkDisk();
        writeRows();
        var server = server();
        try (var said = new BufferedReader(new InputStreamReader(server.getInputStream(), StandardCharsets.UTF_8))) {
            var url = said.readLine();
            out.printf(Locale.ROOT, "%-28s %9s %9s %8s %9s %9s%n", String.format(Locale.ROOT, "%,d rows, -Xmx%s",
                size.rows, size.heap), "s", "CPU s", "live MB", "peak MB", "disk MB");
            client(url, "first");
            client(url, "again");
            checkAnswers();
            checkServer(url);
        } finally {
            server.getOutputStream().close();
            server.waitFor();
        }
    }

    /** @throws IllegalStateException if the disk has not what the rows will need */
    private void checkDisk() throws IOException {
        long needed = DISK_PER_ROW * size.rows;
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < needed)
            throw new IllegalStateException(String.format(Locale.ROOT, "scale: %,d rows need %.1f GB in %s, which has "
                + "%.1f GB; take fewer, or another disk by -R-Djava.io.tmpdir", size.rows, needed / 1e9, folder,
                free / 1e9));
        out.printf(Locale.ROOT, "scale: takes up to %.1f GB in %s, which is deleted afterwards%n",
            needed / 1e9, folder);
    }

    private void writeRows() throws IOException {
        try (var csv = Files.newBufferedWriter(folder.resolve("rows.csv"))) {
            csv.write("id,text\n");
            for (int row = 1; row <= size.rows; row++) csv.write(id(row) + ",\"" + text(row) + "\"\n");
        }
    }

    private static String id(long row) { return "survey-2026-" + row; }

    private static String text(long row) { return TEXT.formatted(row); }

    private Process server() throws IOException {
        return java("256m", "ScaleServer", folder.resolve("store"), size.part,
            (long) IN_QUEUE * size.part * WORDS_OF_A_ROW).start();
    }

    private void client(String url, String word) throws IOException, InterruptedException {
        var client = java(size.heap, "ScaleClient", folder, url, size.part, PART_BYTES, word).start();
        try (var said = new BufferedReader(new InputStreamReader(client.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = said.readLine()) != null; ) print(word, line.split(" "));
        }
        if (client.waitFor() != 0) throw new AssertionError("scale: the client ended with " + client.exitValue());
    }

    private void print(String word, String[] said) {
        if (said[0].equals("step"))
            out.printf(Locale.ROOT, "%-6s%-22s %9s %9s %8s %9s %9s%n", word, said[1], said[2], said[3], said[4],
                said[5], said[6]);
        else out.println(String.join(" ", said));
    }

    private ProcessBuilder java(String heap, String main, Object... words) {
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx" + heap, "-XX:+UseSerialGC", "-DSHEAF_HOME=" + folder.resolve("home"),
            "-cp", System.getProperty("java.class.path"), "sheaf.bench." + main));
        for (var word : words) command.add(word.toString());
        return new ProcessBuilder(command).redirectError(folder.resolve(main + ".err").toFile());
    }

    /** Each row is there once, in its order, with its own answer. */
    private void checkAnswers() throws IOException {
        long row = 0;
        try (var answers = CsvReader.builder().ofNamedCsvRecord(folder.resolve("answers.csv"))) {
            for (var answer : answers) {
                row++;
                boolean isRight = answer.getField("id").equals(id(row)) && answer.getField("text").equals(text(row))
                    && answer.getField("result.text").equals(text(row));
                if (!isRight) throw new AssertionError("scale: row " + row + " has come back as " + answer);
            }
        }
        if (row != size.rows) throw new AssertionError("scale: " + row + " rows have come back");
        out.printf(Locale.ROOT, "%,d rows are back, each once, in order, with its own answer%n", row);
    }

    /** What ran there is each row once, and what expired once more. */
    private void checkServer(String url) throws IOException, InterruptedException {
        var batches = new TreeMap<String, Long>();
        long requests = 0;
        long answered = 0;
        for (var batch : batches(url)) {
            batches.merge(batch.get("status").asText(), 1L, Long::sum);
            requests += batch.at("/request_counts/total").asLong();
            answered += batch.at("/request_counts/completed").asLong();
        }
        if (answered != size.rows) throw new AssertionError("scale: " + answered + " requests were answered");
        out.printf(Locale.ROOT, "at the server: %s; %,d requests, of which %,d expired and were sent again%n", batches,
            requests, requests - answered);
    }

    private static List<JsonNode> batches(String url) throws IOException, InterruptedException {
        var batches = new ArrayList<JsonNode>();
        var client = HttpClient.newHttpClient();
        var after = "";
        while (true) {
            var page = JSON.readTree(client.send(HttpRequest.newBuilder(URI.create(url + "/batches?limit=100" + after))
                .build(), BodyHandlers.ofString()).body());
            page.get("data").forEach(batches::add);
            if (!page.get("has_more").asBoolean()) return batches;
            after = "&after=" + page.get("last_id").asText();
        }
    }
}
