package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.support.Commands.Run;
import sheaf.support.FakeEngine;

/** Runs of ask as processes of their own, whose launcher is a script that notes each server that it starts. */
final class EngineRuns implements AutoCloseable {
    private static final List<String> JAVA = List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-XX:TieredStopAtLevel=1", "-XX:+NeverActAsServerClassMachine", "-cp", System.getProperty("java.class.path"));
    private final List<Process> processes = new ArrayList<>();
    private final Path dir;
    private final Path launcher;

    /** @param local what answers behind the local model */
    EngineRuns(Path dir, FakeEngine local) throws IOException {
        this.dir = dir;
        launcher = dir.resolve("a launcher");
        Files.writeString(launcher, "#!/bin/sh\necho \"$$ $*\" >>'" + dir + "/starts'\n[ \"$1\" = local ] && "
            + "set -- \"$@\" --engine " + local.url() + " --port 4141\nshift\n"
            + "[ -z \"$STARTED\" ] || echo \"$STARTED\" >&2\nexec '" + String.join("' '", JAVA)
            + "' sheaf.server.BatchServer \"$@\"\n");
        assertTrue(launcher.toFile().setExecutable(true));
        Files.writeString(rows(), "q\n" + IntStream.range(0, 40).mapToObj(i -> "row " + i + "\n")
            .collect(Collectors.joining()));
    }

    /** The file of forty rows. */
    Path rows() { return dir.resolve("rows.csv"); }

    Process start(Map<String, String> environment, String... options) throws IOException {
        var words = new ArrayList<>(List.of("-m", FakeEngine.MODEL, "-p", "{{q}}", "-d", rows().toString()));
        words.addAll(List.of(options));
        return start(words, environment);
    }

    Process start(List<String> words) throws IOException { return start(words, Map.of()); }

    Process start(List<String> words, Map<String, String> environment) throws IOException {
        var command = new ArrayList<>(JAVA);
        command.add("sheaf.commands.ask");
        command.addAll(words);
        var builder = new ProcessBuilder(command).directory(dir.toFile())
            .redirectOutput(dir.resolve("out" + (processes.size() + 1)).toFile())
            .redirectError(dir.resolve("err" + (processes.size() + 1)).toFile());
        builder.environment().keySet().removeIf(name -> name.matches("(OPENAI|SHEAF)_.*|.*_API_KEY"));
        builder.environment().putAll(Map.of("SHEAF_HOME", dir.resolve("home").toString(), "SHEAF_LAUNCHER",
            "'" + launcher + "'"));
        builder.environment().putAll(environment);
        var process = builder.start();
        processes.add(process);
        return process;
    }

    Run run(String... options) throws Exception { return ended(start(Map.of(), options)); }

    Run ended(Process process) throws InterruptedException {
        int number = processes.indexOf(process) + 1;
        assertTrue(process.waitFor(2, TimeUnit.MINUTES), () -> read(dir.resolve("err" + number)));
        return new Run(process.exitValue(), read(dir.resolve("out" + number)), read(dir.resolve("err" + number)));
    }

    private static String read(Path file) {
        try {
            return Files.exists(file) ? Files.readString(file, UTF_8) : "";
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns what was started: the process id and the words of each command. */
    List<String> starts() { return read(dir.resolve("starts")).lines().toList(); }

    List<Long> servers() {
        return starts().stream().map(start -> Long.valueOf(start.replaceFirst(" .*", ""))).toList();
    }

    void awaitEnded() {
        assertFalse(servers().isEmpty());
        await(() -> servers().stream().noneMatch(pid -> ProcessHandle.of(pid).filter(ProcessHandle::isAlive)
            .isPresent()));
    }

    static void await(BooleanSupplier done) {
        long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
        while (!done.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "not within 2 minutes");
            try {
                Thread.sleep(20);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
    }

    @Override public void close() {
        processes.forEach(Process::destroyForcibly);
        for (long pid : servers()) ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    }
}
