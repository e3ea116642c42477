package sheaf.support;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Ctrl-C, as a process gets it. A background job of a shell ignores it, and hands that on to its children. */
public final class Signals {
    private static final List<String> RESET = List.of("env", "--default-signal=INT");      // of GNU coreutils
    private static final int INTERRUPT = 2;

    private Signals() {}

    /** Returns the command as one that Ctrl-C ends, even where this process ignores it; skips the test if none can. */
    public static List<String> interruptible(List<String> command) throws IOException, InterruptedException {
        assumeTrue(Files.isExecutable(Path.of("/bin/kill")), "no kill on this machine");
        if (!isInterruptIgnored()) return command;
        assumeTrue(canReset(), "this process ignores SIGINT, and its children do");
        return Stream.of(RESET, command).flatMap(List::stream).toList();
    }

    public static void interrupt(Process process) throws IOException, InterruptedException { interrupt(process.pid()); }

    public static void interrupt(long pid) throws IOException, InterruptedException {
        new ProcessBuilder("/bin/kill", "-INT", String.valueOf(pid)).start().waitFor();
    }

    /** Bit n-1 of the mask in /proc is signal n. */
    private static boolean isInterruptIgnored() throws IOException {
        var status = Path.of("/proc/self/status");
        return Files.exists(status) && Files.readAllLines(status).stream().filter(line -> line.startsWith("SigIgn:"))
            .map(line -> line.replaceFirst("SigIgn:\\s*", ""))
            .anyMatch(mask -> (Long.parseUnsignedLong(mask, 16) >> (INTERRUPT - 1) & 1) != 0);
    }

    private static boolean canReset() throws InterruptedException {
        try {
            var command = Stream.of(RESET, List.of("true")).flatMap(List::stream).toList();
            return new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
        } catch (IOException noSuchProgram) {
            return false;
        }
    }
}
