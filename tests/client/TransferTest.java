package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.UnsteadyProvider.lines;
import static sheaf.UnsteadyProvider.send;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.support.Printed;

/** Files on their way to a provider and back, over lines that break and servers that cut. */
class TransferTest {
    static final int MB = 1 << 20;
    static final List<String> TEXTS = IntStream.range(0, 6).mapToObj(i -> String.valueOf(i).repeat(500_000)).toList();

    @TempDir Path home;
    UnsteadyProvider provider;

    @BeforeEach void start() throws IOException {
        System.setProperty("SHEAF_HOME", home.toString());
        provider = new UnsteadyProvider(lines(TEXTS));
    }

    @AfterEach void stop() { provider.close(); }

    @Tag("C35")
    @Test void aDownloadThatBreaksOffGoesOnWhereItBroke() {
        provider.breakAfter(1_500_000);

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "bytes=1500000-"), provider.ranges);
        assertEquals(List.of("part-1.jsonl", "part-1.output.jsonl"), names("part-1"));
    }

    @Tag("C35")
    @Test void aLineThatBreaksAgainAndAgainGetsThrough() {
        IntStream.range(0, 6).forEach(i -> provider.breakAfter(200_000));

        assertEquals(TEXTS, texts());
        assertEquals("bytes=1200000-", provider.ranges.get(6));
    }

    @Tag("C35")
    @Test void aLineThatBringsNothingMoreEndsInASentenceAndTheNextRunGoesOn() {
        provider.breakAfter(1_500_000);
        IntStream.range(0, 4).forEach(i -> provider.breakAfter(0));

        var fault = assertThrows(UncheckedIOException.class, this::texts);

        assertTrue(fault.getMessage().matches("results: 1,500,000 of " + Messages.number(provider.content.length)
            + " bytes of out came, and then no more \\(.+\\);"
            + " nothing is lost, run again and the rest is fetched"), fault.getMessage());
        assertEquals(5, provider.ranges.size());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
        assertEquals("bytes=" + MB + "-", provider.ranges.get(5));
    }

    @Test void whatAKilledProcessHadBegunToFetchIsSweptUpOnceAllHasCome() throws IOException {
        texts();
        var folder = home.resolve("batches").resolve(folder());
        for (var name : List.of(".part-1.output.jsonl.anew", ".part-1.output.jsonl.0123456789ab.partial",
                ".answers.idx.01234567"))
            Files.writeString(folder.resolve(name), "{}\n");
        Files.delete(folder.resolve("answers.idx"));

        assertEquals(TEXTS, texts());

        assertEquals(List.of(), names("."));
    }

    @Tag("C35")
    @Test void afterAPowerCutOnlyWhatWasForcedToTheDiskCounts() throws IOException {
        provider.content = lines(IntStream.range(0, 6).mapToObj(i -> (char) ('a' + i) + "z".repeat(500_000)).toList());
        provider.breakAfter(2 * MB + 700_000);
        provider.answer(exchange -> send(exchange, 401, "{}"));
        assertThrows(BatchException.class, this::texts);
        var partial = home.resolve("batches").resolve(folder()).resolve(names(".part-1").get(0));
        var torn = Files.readAllBytes(partial);
        Arrays.fill(torn, 2 * MB, torn.length, (byte) 0);
        Files.write(partial, torn);

        texts();

        assertEquals("bytes=" + 2 * MB + "-", provider.ranges.get(2));
        assertEquals(List.of(), names(".part-1"));
    }

    @Tag("C35")
    @Test void aBoundaryItselfMayNotYetBeOnTheDisk() {
        provider.breakAfter(2 * MB);
        provider.answer(exchange -> send(exchange, 401, "{}"));
        assertThrows(BatchException.class, this::texts);

        assertEquals(TEXTS, texts());
        assertEquals("bytes=" + MB + "-", provider.ranges.get(2));
    }

    @Tag("C35")
    @Test void aServerThatKnowsNoRangesSendsAllOfItAnew() {
        provider.breakAfter(1_500_000);
        provider.answer(exchange -> send(exchange, 200, provider.content, provider.content.length));

        assertEquals(TEXTS, texts());
        assertEquals(2, provider.ranges.size());
    }

    @Tag("C35")
    @Test void aRangeThatIsRefusedOrIsAnotherIsFetchedAnew() {
        provider.breakAfter(1_500_000);
        provider.answer(exchange -> send(exchange, 416, "{}"));
        provider.breakAfter(1_600_000);
        provider.answer(exchange -> {
            exchange.getResponseHeaders().set("Content-Range", "bytes 0-9/" + provider.content.length);
            send(exchange, 206, Arrays.copyOf(provider.content, 10), 10);
        });

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "bytes=1500000-", "", "bytes=1600000-", ""), provider.ranges);
    }

    @Test void anInterruptIsASentenceAndTheNextRunGoesOn() {
        var me = Thread.currentThread();
        provider.answer(exchange -> {
            exchange.sendResponseHeaders(200, provider.content.length);
            exchange.getResponseBody().write(provider.content, 0, 1_500_000);
            exchange.getResponseBody().flush();
            me.interrupt();
            LockSupport.parkNanos(10_000_000_000L);                       // until the test is over
        });

        var fault = assertThrows(IllegalStateException.class, this::texts);

        assertEquals("results: interrupted; run again to go on", fault.getMessage());
        assertTrue(Thread.interrupted());
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aBadGatewayOnTheContentIsTriedAgain() {
        provider.answer(exchange -> send(exchange, 502, "<html>Bad Gateway</html>"));

        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void anAnswerShorterThanItsFileIsFetchedAnew() {
        provider.size = String.valueOf(provider.content.length);
        provider.endAfter(1_500_000);
        provider.endAfter(length(TEXTS.subList(0, 2)));              // at a line's end

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "", ""), provider.ranges);
    }

    @Tag("C35")
    @Test void anAnswerThatStaysShortIsASentenceAndNoResult() {
        provider.size = "\"" + provider.content.length + "\"";                     // as kluster writes numbers
        int came = length(TEXTS.subList(0, 2));
        IntStream.of(2, 2, 3, 2).forEach(i -> provider.endAfter(length(TEXTS.subList(0, i))));

        var fault = assertThrows(UncheckedIOException.class, this::texts);

        assertEquals("results: only " + Messages.number(came) + " of " + Messages.number(provider.content.length)
            + " bytes of out came;"
            + " nothing is lost, run again and it is fetched anew", fault.getMessage());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aSizeThatIsWrongKeepsNoAnswersBack() {
        provider.size = "999999999";

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "", ""), provider.ranges);
    }

    @Tag("C35")
    @Test void anAnswerCutInALineIsNotTakenHoweverOftenItComes() {
        provider.size = String.valueOf(provider.content.length);
        IntStream.range(0, 4).forEach(i -> provider.endAfter(1_500_000));

        assertThrows(UncheckedIOException.class, this::texts);
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aLastLineCutOffIsNoticedWithoutASize() {
        provider.answer(exchange -> {                             // only the end of the connection ends it
            exchange.getResponseHeaders().set("Connection", "close");
            send(exchange, 200, Arrays.copyOf(provider.content, 1_500_000), 0);
        });

        assertEquals(TEXTS, texts());
    }

    @Tag("C28")
    @Test void aMissingLastNewlineAndASizeTooSmallCutNothingOff() {
        provider.content = Arrays.copyOf(provider.content, provider.content.length - 1);
        provider.size = "10";

        assertEquals(TEXTS, texts());
        assertEquals(1, provider.ranges.size());
    }

    @Tag("C27")
    @Test void aFileOfNoBytesIsNoResults() {
        provider.content = new byte[0];
        provider.size = "0";

        assertEquals(Map.of(Outcome.MISSING, 6L), ask().submit().results().counts());
        assertEquals(3, provider.ranges.size());               // six requests were run, so it is asked for again
    }

    @DisabledOnOs(OS.WINDOWS)
    @Tag("C35")
    @Test void aFullDiskIsASentenceAndTheNextRunGoesOn() throws Exception {
        var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        var child = new ProcessBuilder("sh", "-c", "ulimit -S -f 3000; exec \"$@\"", "sh", java, "-XX:-UsePerfData",
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + home, "-cp", System.getProperty("java.class.path"),
            "sheaf.TransferTest", provider.baseUrl()).redirectErrorStream(true).start();       // 1.5 or 3 MB a file

        var said = new String(child.getInputStream().readAllBytes(), UTF_8);

        assertTrue(child.waitFor(1, TimeUnit.MINUTES) && child.exitValue() == 1, said);
        assertTrue(said.contains("results: cannot write to " + home + " (file too large)"), said);
        assertEquals(1, provider.ranges.size());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
        assertTrue(provider.ranges.get(1).matches("bytes=[1-9][0-9]+-"), provider.ranges.toString());
    }

    /** Runs in a process of its own. */
    public static void main(String... args) { ask(args[0]).quiet().submit().results(); }

    @Test void anUploadThatBreaksOffIsSentAgainWhole() {
        provider.breakUpload();
        var big = batch().provider(here()).quiet().model("m").prompts("x".repeat(3_000_000));

        big.submit();

        var sent = new String(provider.uploads.get(0), UTF_8);
        var kept = new String(read("part-1.jsonl"), UTF_8);
        assertEquals(kept, sent.substring(sent.indexOf("\r\n\r\n") + 4, sent.indexOf("\n\r\n--") + 1));
    }

    @Test void aSlowTransferShowsTenthsAndAQuietOneNothing() {
        provider.content = lines(Collections.nCopies(TEXTS.size(), "a".repeat(3_300)));
        provider.size = String.valueOf(provider.content.length);
        provider.answerSlowly();
        provider.answerSlowly();
        var loud = ask(provider.baseUrl()).name("loud").submit();
        var quiet = ask().name("quiet").submit();

        var said = Printed.stderr(() -> CompletableFuture.allOf(CompletableFuture.runAsync(loud::results),
            CompletableFuture.runAsync(quiet::results)).join()).lines().toList();

        assertTrue(said.size() >= 2, said.toString());
        assertTrue(said.stream().allMatch(line -> line.matches("downloading the answers of part 1 of 1,"
            + " [0-9.]+ kB of 20.6 kB(, [0-9ms]+ left)?")), said.toString());
        assertEquals(said.size(), said.stream().map(TransferTest::tenth).distinct().count(), said.toString());
    }

    @Test void bytesOfASmallFileAreNotNone() throws Exception {
        var file = Files.write(home.resolve("small"), new byte[340]);

        var said = Printed.stderr(() -> {
            try (var transfer = new Progress(false).transfer("uploading"); var in = transfer.counted(file)) {
                Thread.sleep(3_100);
                in.readAllBytes();
            } catch (IOException | InterruptedException e) {
                throw new AssertionError(e);
            }
        });

        assertEquals("uploading, 340 B of 340 B\n", said);
    }

    static int tenth(String line) {
        return Integer.parseInt(line.replaceFirst(".*, ([0-9]+)\\.[0-9] kB of .*", "$1")) / 2;
    }

    static int length(List<String> texts) { return lines(texts).length; }

    Provider here() { return Provider.of(provider.baseUrl()); }

    /** Six requests, which the provider answers at once. */
    static Draft ask(String url) {
        return batch().provider(Provider.of(url)).model("m").name("six").prompts("1", "2", "3", "4", "5", "6");
    }

    Draft ask() { return ask(provider.baseUrl()).quiet(); }

    /** What a run of the script says, after a look at what it keeps. */
    List<String> texts() {
        var results = ask().submit().results();
        assertArrayEquals(provider.content, read("part-1.output.jsonl"));
        return results.stream().map(Result::text).toList();
    }

    byte[] read(String name) {
        try {
            return Files.readAllBytes(home.resolve("batches").resolve(folder()).resolve(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String folder() {
        return Stream.of(home.resolve("batches").toFile().list()).filter(name -> !name.startsWith(".")).findFirst()
            .orElseThrow();
    }

    List<String> names(String start) {
        return Stream.of(home.resolve("batches").resolve(folder()).toFile().list())
            .filter(name -> name.startsWith(start)).sorted().toList();
    }
}
