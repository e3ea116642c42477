package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The project as others meet it: its files behind HTTP, its catalog at a URL, and a visitor whose machine has JBang but
 * nothing of ours.
 */
public final class Catalog implements AutoCloseable {
    public static final Path PROJECT = Project.root();
    /** What a clone has, of what a script may need. */
    private static final List<String> SERVED =
        List.of("jbang-catalog.json", "lib", "scripts", "templates", "data", "notebooks", "bench", "tests");

    private final Queue<String> missing = new ConcurrentLinkedQueue<>();       // paths that were asked for in vain
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final HttpServer server;

    /** What a command came to, and the paths that it asked for in vain. */
    public record Run(int status, String out, String err, List<String> missing) {}

    public static JsonNode json() {
        try {
            return new ObjectMapper().readTree(PROJECT.resolve("jbang-catalog.json").toFile());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the aliases by name, in the catalog's order. */
    public static Map<String, JsonNode> aliases() {
        var aliases = new LinkedHashMap<String, JsonNode>();
        for (var alias : json().path("aliases").properties()) aliases.put(alias.getKey(), alias.getValue());
        return aliases;
    }

    public Catalog() {
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    @Override public void close() {
        server.stop(0);
        threads.shutdownNow();
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            var path = exchange.getRequestURI().getPath();                     // /visitor/name
            var name = path.replaceFirst("^/[^/]*/", "");
            var file = PROJECT.resolve(name).normalize();
            if (SERVED.contains(name.replaceFirst("/.*", "")) && file.startsWith(PROJECT)
                    && Files.isRegularFile(file)) {
                exchange.sendResponseHeaders(200, Files.size(file));
                Files.copy(file, exchange.getResponseBody());
            } else {
                missing.add(path);
                exchange.sendResponseHeaders(404, -1);
            }
        }
    }

    /** One who has JBang, a home in that folder, and no key. */
    public Visitor visitor(Path dir) { return new Visitor(dir); }

    /** Runs one command at a time; two visitors may run theirs at once, unless both would build the same script. */
    public final class Visitor {
        private final Path home;
        private final String site = UUID.randomUUID().toString();      // a port is used again, and URLs are remembered
        private final Map<String, String> environment = new HashMap<>();

        private Visitor(Path dir) {
            home = dir.toAbsolutePath();
            environment.put("SHEAF_HOME", home.resolve("sheaf").toString());
            environment.put("COLUMNS", "200");
            environment.put("JAVA_HOME", System.getProperty("java.home"));
            environment.put("PATH", String.join(File.pathSeparator, bin().toString(), PROJECT.toString(),
                System.getenv("PATH"), realJBang().resolve("bin").toString()));
            // what JBang remembers is the visitor's own; only the jars, named by their content, are shared
            environment.put("JBANG_DIR", home.resolve("jbang").toString());
            environment.put("JBANG_CACHE_DIR_JARS", realCache().resolve("jars").toString());
            environment.put("JBANG_NO_VERSION_CHECK", "true");
            // half the time of JBang, of javac and of a script is spent on compiling them well
            environment.put("JAVA_TOOL_OPTIONS", (System.getenv().getOrDefault("JAVA_TOOL_OPTIONS", "")
                + " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC").strip());
        }

        public Visitor with(String variable, String value) {
            environment.put(variable, value);
            return this;
        }

        /** Where commands go that are installed. */
        public Path bin() { return home.resolve("jbang/bin"); }

        /** A folder with nothing in it. */
        public Path emptyFolder() {
            try {
                return Files.createTempDirectory(Files.createDirectories(home), "empty");
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        /** An alias with its address: what they type who have only the URL. */
        public String at(String alias) {
            return alias + "@http://127.0.0.1:" + server.getAddress().getPort() + "/" + site + "/jbang-catalog.json";
        }

        public Run jbang(Path folder, String... arguments) { return jbang(folder, "", List.of(arguments)); }

        public Run jbang(Path folder, String stdin, List<String> arguments) {
            return run(folder, stdin, Stream.concat(Stream.of(PROJECT.resolve("jbang").toString()), arguments.stream())
                .toList());
        }

        public Run run(Path folder, String stdin, List<String> command) {
            try {
                missing.removeIf(path -> path.startsWith("/" + site));
                Files.createDirectories(home);
                var in = Files.writeString(Files.createTempFile(home, "std", "in"), stdin);
                var out = Files.createTempFile(home, "std", "out");
                var err = Files.createTempFile(home, "std", "err");
                var status = status(new ProcessBuilder(command).directory(folder.toFile())
                    .redirectInput(in.toFile()).redirectOutput(out.toFile()).redirectError(err.toFile()));
                return new Run(status, text(out), text(err),
                    missing.stream().filter(path -> path.startsWith("/" + site)).toList());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private int status(ProcessBuilder builder) throws IOException {
            builder.environment().keySet().removeIf(name -> name.matches("(SHEAF|OPENAI|JBANG)_.*|.*_(API_KEY|TOKEN)"));
            builder.environment().putAll(environment);
            var process = builder.start();
            try {
                if (process.waitFor(150, TimeUnit.SECONDS)) return process.exitValue();
                throw new AssertionError(String.join(" ", builder.command()) + " did not end");
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            } finally {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
            }
        }

        private static String text(Path file) throws IOException {
            return Files.readString(file, UTF_8).replaceAll("(?m)^Picked up JAVA_TOOL_OPTIONS: .*\n", "");
        }
    }

    private static Path realCache() {
        var cache = System.getenv("JBANG_CACHE_DIR");
        return cache != null ? Path.of(cache) : realJBang().resolve("cache");
    }

    private static Path realJBang() {
        var dir = System.getenv("JBANG_DIR");
        return dir != null ? Path.of(dir) : Path.of(System.getProperty("user.home"), ".jbang");
    }
}
