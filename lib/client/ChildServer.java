package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;

/**
 * A server that runs for as long as this program needs it: the one before an engine without batches, and the one of the
 * local model where nobody listens. It is a command of Sheaf's in a process of its own, which ends when its stdin does,
 * so that a kill of this program leaves none behind; it is told by the URL that it prints, and nothing else is known of
 * it here.
 */
final class ChildServer {
    private static final String URL = "OPENAI_BASE_URL=";
    private static final int GLANCE = 1_000;               // milliseconds, to connect on this machine
    private static final int LAST_WORDS = 500;             // milliseconds, from a failure's sentence to the end
    private static final long LOOK = 20_000_000;           // nanoseconds
    private static final Pattern IDLE = Pattern.compile("(local: started |\\[jbang\\] ).*");
    /** The batch tells it too, to each run. */
    private static final Pattern HELD_UP = Pattern.compile("engine: \\S+ takes no more until .*");
    private static final boolean IS_WINDOWS = File.separatorChar == '\\';
    /** Ctrl-C goes to all that this program has started, and others may use the server: the end of stdin ends it. */
    private static final List<String> UNHURT = IS_WINDOWS ? List.of() : List.of("sh", "-c", "trap '' INT; exec \"$@\"",
        "sh");
    private static final Map<String, String> URLS = new HashMap<>();       // of those that are settled, by base URL
    private static final Set<String> STARTED = new HashSet<>();            // base URLs that are not an engine's
    private static final List<FileChannel> SHARES = new ArrayList<>();     // of locks, held until this program ends
    private final Process process;
    private final boolean isQuiet;
    private final BufferedReader said;
    private volatile boolean isUp;
    private volatile String lastWords = "";

    private ChildServer(Process process, boolean isQuiet) {
        this.process = process;
        this.isQuiet = isQuiet;
        this.said = process.errorReader(UTF_8);
    }

    /**
     * Returns where the calls to a base URL go that such a server answers, and starts the server that is missing there.
     * @param isQuiet whether only what is wrong is passed on of what it says
     * @throws IllegalStateException if it does not start, or this program does not know by which command
     */
    static synchronized String urlOf(String baseUrl, boolean isQuiet) {
        return URLS.computeIfAbsent(baseUrl, any -> BaseUrl.isEngine(baseUrl)
            ? before(BaseUrl.engine(baseUrl), isQuiet) : local(isQuiet));
    }

    /** Has the next call to an engine start its server anew, since nobody listens where that was. */
    static synchronized void forget(String baseUrl) { URLS.remove(baseUrl); }

    /** Whether this program is the one to start a server there, or has started it. */
    static synchronized boolean isOurs(String baseUrl) { return BaseUrl.isEngine(baseUrl) || STARTED.contains(baseUrl); }

    /** Whether a call to a base URL would have to start its server. */
    static synchronized boolean isMissing(String baseUrl) {
        return !URLS.containsKey(baseUrl)
            && (BaseUrl.isEngine(baseUrl) || !listens(baseUrl) && Environment.program().isPresent());
    }

    private static String before(String engine, boolean isQuiet) {
        var program = Environment.program().orElseThrow(() -> new IllegalStateException("engine: the server that "
            + "stands before " + engine + " is no part of this script; run it by Sheaf's own ./jbang, or begin it "
            + "with BatchServer.before(\"" + engine + "\") of lib/BatchServer.java"));
        return start(program, isQuiet, "serve", "--engine", engine, "--own-store", "--port", "0", "--until-eof");
    }

    /** One that another run has started stays as long as this one shares its lock. */
    private static String local(boolean isQuiet) {
        share(Environment.home().resolve("server.guests"));
        var program = listens(BaseUrl.LOCAL) ? null : Environment.program().orElse(null);
        if (program == null) return BaseUrl.LOCAL;
        STARTED.add(BaseUrl.LOCAL);
        return start(program, isQuiet, "local", "--until-eof");
    }

    private static void share(Path file) {
        if (!Files.exists(file)) return;
        try {
            var channel = FileChannel.open(file, StandardOpenOption.READ);
            SHARES.add(channel);
            channel.lock(0, Long.MAX_VALUE, true);         // waits for a server that is about to end
        } catch (IOException | OverlappingFileLockException gone) {
            // with the server whose it was, or this program has that server too
        }
    }

    private static boolean listens(String url) {
        var uri = URI.create(url);
        try (var socket = new Socket()) {
            socket.connect(new InetSocketAddress(uri.getHost(), uri.getPort()), GLANCE);
            return true;
        } catch (IOException nobody) {
            return false;
        }
    }

    private static String start(Path program, boolean isQuiet, String... words) {
        var command = new ArrayList<>(UNHURT);
        command.add(program.toString());
        command.addAll(List.of(words));
        try {
            var builder = new ProcessBuilder(command);
            builder.environment().put("SHEAF_HOME", Environment.home().toString());
            builder.environment().remove("SHEAF_SERVER_KEY");          // which this program would have to send
            return new ChildServer(builder.start(), isQuiet).url(words[0]);
        } catch (IOException e) {
            throw new IllegalStateException("engine: cannot run " + program + " (" + Messages.reason(e) + ")", e);
        }
    }

    /** Waits until it says where it listens, which takes as long as a download of what it lacks. */
    private String url(String word) throws IOException {
        var relay = new Thread(this::relay, "sheaf-child");
        relay.setDaemon(true);
        relay.start();
        var line = process.inputReader(UTF_8).readLine();
        isUp = true;
        if (line != null && line.startsWith(URL)) return line.substring(URL.length());
        process.destroy();
        try {
            relay.join(2 * LAST_WORDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        throw new IllegalStateException(lastWords.matches("(?s)[a-zA-Z]+: .*")
            ? lastWords.replaceFirst("; try '\\w+ --help'$", "") : word + ": the server did not start");
    }

    /** Passes on what it says, but for the sentence that it ends with if it does not start. */
    private void relay() {
        try (said) {
            for (var line = said.readLine(); line != null; line = said.readLine()) {
                if (!isUp && isLast()) lastWords = line;
                else if (HELD_UP.matcher(line).matches()) continue;
                else if (!isQuiet || !IDLE.matcher(line).matches()) Terminal.say(line);
            }
        } catch (IOException closed) {
            // it has ended
        }
    }

    private boolean isLast() throws IOException {
        for (long end = System.nanoTime() + LAST_WORDS * 1_000_000L; System.nanoTime() < end && !said.ready(); ) {
            if (!process.isAlive()) return !said.ready();
            LockSupport.parkNanos(LOOK);
        }
        return false;
    }
}
