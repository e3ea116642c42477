package sheaf.bench;

import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import sheaf.Sheaf;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;

/** What a user's script would do with very many rows, in a process of its own; it prints what each step took. */
final class ScaleClient {
    private static final int LOOK_MILLIS = 20;
    private final Path folder;
    private final Provider provider;
    private Usage before = Usage.now();
    private volatile long live;                                // bytes of heap after a collection, at most
    private volatile Usage staged;                             // when the requests had their folder; null: not yet

    /** Nanoseconds on the clock and of all cores since this process began. */
    private record Usage(long nanos, long cpu) {
        static Usage now() {
            var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return new Usage(System.nanoTime(), system.getProcessCpuTime());
        }
    }

    private ScaleClient(Path folder, Provider provider) {
        this.folder = folder;
        this.provider = provider;
    }

    /** @param args the folder of it all, the server's URL, requests and bytes of a part, and first or again */
    public static void main(String... args) throws IOException {
        var provider = Provider.of(args[1]).limits(Long.parseLong(args[2]), Long.parseLong(args[3]));
        var client = new ScaleClient(Path.of(args[0]), provider);
        var watcher = new Thread(client::watch, "sheaf-scale");
        watcher.setDaemon(true);
        watcher.start();
        if (args[4].equals("first")) client.first();
        else client.again();
    }

    private Sheaf.Draft draft() {
        return batch().name("scale").model("echo").customId("{{id}}").prompts("{{text}}", csv(rows().toString()))
            .provider(provider);
    }

    private Path rows() { return folder.resolve("rows.csv"); }

    /** All from the rows to the files of answers; what expired is sent once more. */
    private void first() throws IOException {
        var batch = draft().submit();
        print("lines", staged);
        print("submit", Usage.now());
        batch.await();
        print("await", Usage.now());
        var results = batch.results();
        print("results", Usage.now());
        results = again(results);
        results.toCsv(folder.resolve("answers.csv"));
        print("csv", Usage.now());
        results.toJsonl(folder.resolve("answers.jsonl"));
        print("jsonl", Usage.now());
        System.out.println("outcomes " + results.counts());
    }

    private Results again(Results results) {
        boolean hasExpired = results.counts().containsKey(Outcome.EXPIRED);
        print("counts", Usage.now());
        if (!hasExpired) return results;
        var retried = results.only(Outcome.EXPIRED).retry().submit().await().results();
        var merged = results.merge(retried);
        print("retry", Usage.now());
        return merged;
    }

    /** The same script once more: nothing is sent. */
    private void again() {
        var batch = draft().submit();
        print("submit", Usage.now());
        batch.await().results();
        print("results", Usage.now());
        Sheaf.kept().toString();
        print("kept", Usage.now());
    }

    /** Prints what a step took, and what was held in memory and on the disk until then. */
    private void print(String step, Usage at) {
        System.out.printf(Locale.ROOT, "step %s %.1f %.1f %.0f %.0f %.0f%n", step, (at.nanos - before.nanos) / 1e9,
            (at.cpu - before.cpu) / 1e9, live / 1e6, resident() / 1e3, bytes() / 1e6);
        before = at;
    }

    private void watch() {
        while (true) {
            live = Math.max(live, ManagementFactory.getMemoryPoolMXBeans().stream()
                .filter(pool -> pool.getCollectionUsage() != null).mapToLong(ScaleClient::afterCollection).sum());
            if (staged == null && isStaged()) staged = Usage.now();
            try {
                Thread.sleep(LOOK_MILLIS);
            } catch (InterruptedException closing) {
                return;
            }
        }
    }

    private static long afterCollection(MemoryPoolMXBean pool) { return pool.getCollectionUsage().getUsed(); }

    private boolean isStaged() {
        try (var batches = Files.newDirectoryStream(home().resolve("batches"), "scale-*")) {
            return batches.iterator().hasNext();
        } catch (IOException notYet) {
            return false;
        }
    }

    private Path home() { return Path.of(System.getProperty("SHEAF_HOME")); }

    private long bytes() {
        try (var files = Files.walk(home())) {
            return files.mapToLong(file -> file.toFile().length()).sum();
        } catch (IOException unreadable) {
            return 0;
        }
    }

    /** Returns the kilobytes that were resident at most, mapped files included; 0 where there is no /proc. */
    private static long resident() {
        try {
            return Files.readString(Path.of("/proc/self/status")).lines().filter(line -> line.startsWith("VmHWM"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", ""))).findFirst().orElse(0);
        } catch (IOException noLinux) {
            return 0;
        }
    }
}
