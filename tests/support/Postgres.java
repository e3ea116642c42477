package sheaf.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A PostgreSQL of this machine's own packages, for as long as a test needs it; it will not run as root. */
public final class Postgres implements AutoCloseable {
    private final Path folder;
    private final Process server;
    private final int port;
    private int databases;

    private Postgres(Path folder, Process server, int port) {
        this.folder = folder;
        this.server = server;
        this.port = port;
    }

    /** Returns null where there is none. */
    public static Postgres startIfInstalled() throws IOException, InterruptedException {
        var programs = programs();
        if (programs.isEmpty()) return null;
        var folder = Files.createTempDirectory("sheaf-postgres");
        if (isRoot() && run(folder, "chown", "postgres", folder.toString()) != 0) return null;
        if (run(folder, asOther(programs.get().resolve("initdb"), "-D", folder.resolve("data"), "-U", "ana", "-A",
                "trust", "-E", "UTF8", "--no-sync")) != 0) return null;
        int port;
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        var server = new ProcessBuilder(asOther(programs.get().resolve("postgres"), "-D", folder.resolve("data"), "-p",
            port, "-k", folder, "-h", "127.0.0.1", "-F")).redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD).directory(folder.toFile()).start();
        return new Postgres(folder, server, port).await();
    }

    private static Optional<Path> programs() throws IOException {
        var versions = Path.of("/usr/lib/postgresql");
        if (!Files.isDirectory(versions)) return Optional.empty();
        try (Stream<Path> all = Files.list(versions)) {
            return all.map(version -> version.resolve("bin")).filter(bin -> Files.isExecutable(bin.resolve("initdb")))
                .max(Comparator.naturalOrder());
        }
    }

    private static boolean isRoot() { return System.getProperty("user.name").equals("root"); }

    private static String[] asOther(Object... command) {
        var words = new ArrayList<String>();
        if (isRoot()) words.addAll(List.of("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"));
        for (var word : command) words.add(word.toString());
        return words.toArray(String[]::new);
    }

    private static int run(Path folder, String... command) throws InterruptedException {
        try {
            return new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
        } catch (IOException noSuchProgram) {
            return 127;
        }
    }

    private Postgres await() throws InterruptedException {
        for (int i = 0; i < 300 && server.isAlive(); i++) {
            try (var connection = DriverManager.getConnection(url("postgres"))) {
                return this;
            } catch (SQLException notYet) {
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
        close();
        throw new IllegalStateException("PostgreSQL does not start");
    }

    private String url(String database) { return "jdbc:postgresql://127.0.0.1:" + port + "/" + database + "?user=ana"; }

    /** Returns the URL of a database that nobody has used. */
    public synchronized String emptyDatabase() {
        var name = "shop" + ++databases;
        try (var connection = DriverManager.getConnection(url("postgres"));
                var statement = connection.createStatement()) {
            statement.execute("create database " + name);
            return url(name);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    @Override public void close() {
        server.destroy();
        try {
            server.waitFor(1, TimeUnit.MINUTES);
            try (var files = Files.walk(folder)) {
                for (var file : files.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
