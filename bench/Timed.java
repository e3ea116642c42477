package sheaf.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/**
 * A command as a whole, from its start to its end: seconds on the clock, seconds of CPU with all processes that it
 * waited for, and what it held in memory at most; the last two only where there is a /proc.
 */
record Timed(double seconds, double cpu, double megabytes) {
    private static final int LOOK_MILLIS = 10;
    private static final double TICKS = 100;                   // a second, on every Linux that people have

    static Timed run(ProcessBuilder command) throws IOException, InterruptedException {
        long start = System.nanoTime();
        var process = command.start();
        double cpu = 0, megabytes = 0;
        do {
            cpu = Math.max(cpu, cpu(process.pid()));
            megabytes = Math.max(megabytes, megabytes(process.pid()));
        } while (!process.waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS));
        double seconds = (System.nanoTime() - start) / 1e9;
        if (process.exitValue() != 0)
            throw new IllegalStateException("benchmark: " + String.join(" ", command.command()) + " ended with "
                + process.exitValue());
        return new Timed(seconds, cpu, megabytes);
    }

    /** Its own user and system time, and that of children that are gone: fields 14 to 17 of stat. */
    private static double cpu(long pid) {
        var fields = read(pid, "stat").replaceFirst("(?s).*\\) ", "").split(" ");
        return fields.length < 15 ? 0 : Arrays.stream(fields, 11, 15).mapToLong(Long::parseLong).sum() / TICKS;
    }

    private static double megabytes(long pid) {
        return read(pid, "status").lines().filter(line -> line.startsWith("VmHWM")).findFirst()
            .map(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024.0).orElse(0.0);
    }

    private static String read(long pid, String file) {
        try {
            return Files.readString(Path.of("/proc", String.valueOf(pid), file));
        } catch (IOException goneOrNoLinux) {
            return "";
        }
    }
}
