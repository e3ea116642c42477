package sheaf.bench;

import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.Closeable;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;

/** Sends files up and down a slow line, and checks that all came: a relay in front of a server holds the bytes back. */
final class SlowLine {
    static final int MEGABIT = 125_000;          // bytes a second
    private static final int REQUEST = 100_000;
    private static final int STEPS = 10;         // a second
    private static final int BUFFER = 1 << 16;   // or the kernel takes all of it at once

    private final Path folder;
    private final int megabytes;
    private final int rate;

    SlowLine(Path folder, int megabytes, int rate) {
        this.folder = folder;
        this.megabytes = megabytes;
        this.rate = rate;
    }

    void run(PrintStream out) throws IOException {
        System.setProperty("SHEAF_HOME", folder.toString());
        try (var server = BatchServer.start(); var relay = new Relay(URI.create(server.baseUrl()).getPort())) {
            int requests = megabytes * 1_000_000 / REQUEST;
            var draft = batch().provider(Provider.of("http://127.0.0.1:" + relay.port() + "/v1")).model("echo")
                .prompts("{{value}}", rows(() -> IntStream.range(0, requests).mapToObj(SlowLine::text)));

            long start = System.nanoTime();
            var sent = draft.submit();
            print(out, "up", relay.up.get(), start);
            sent.await();
            long before = relay.down.get();
            start = System.nanoTime();
            var results = sent.results();
            print(out, "down", relay.down.get() - before, start);

            long same = results.stream().filter(SlowLine::isAsSent).count();
            out.println(same + " of " + requests + " answers are as they were sent");
            if (same != requests) throw new AssertionError("some are not");
        }
    }

    private static String text(int number) { return (number + " ").repeat(REQUEST).substring(0, REQUEST); }

    private static boolean isAsSent(Result result) { return result.text().equals(result.row("value")); }

    private void print(PrintStream out, String way, long bytes, long start) {
        double seconds = (System.nanoTime() - start) / 1e9;
        out.printf(Locale.ROOT, "%-4s %6.1f MB %8.1f s %6.2f Mbit/s of %.2f%n", way, bytes / 1e6, seconds,
            bytes * 8 / 1e6 / seconds, rate * 8 / 1e6);
    }

    /** Passes bytes on, at a rate for each connection and direction. */
    private final class Relay implements Closeable {
        private final ServerSocket door = new ServerSocket();
        private final ExecutorService threads = Executors.newCachedThreadPool();
        private final AtomicLong up = new AtomicLong();
        private final AtomicLong down = new AtomicLong();

        Relay(int target) throws IOException {
            door.setReceiveBufferSize(BUFFER);
            door.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            threads.submit(() -> accept(target));
        }

        int port() { return door.getLocalPort(); }

        private Void accept(int target) throws IOException {
            while (true) {
                var near = door.accept();
                var far = new Socket();
                far.setReceiveBufferSize(BUFFER);
                far.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), target));
                threads.submit(() -> pass(near, far, up));
                threads.submit(() -> pass(far, near, down));
            }
        }

        private Void pass(Socket from, Socket to, AtomicLong counted) throws IOException {
            try (from; to; var in = from.getInputStream(); var out = to.getOutputStream()) {
                var bytes = new byte[rate / STEPS];
                for (int count; (count = in.read(bytes)) >= 0; counted.addAndGet(count)) {
                    LockSupport.parkNanos(1_000_000_000L * count / rate);
                    out.write(bytes, 0, count);
                }
                return null;
            }
        }

        @Override public void close() throws IOException {
            door.close();
            threads.shutdownNow();
        }
    }
}
