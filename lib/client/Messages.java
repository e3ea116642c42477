package sheaf;

import static java.time.temporal.ChronoUnit.MINUTES;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.time.Instant;
import java.time.ZoneId;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** What messages are made of: checked arguments, counts, clipped texts, and why a file or a connection failed. */
final class Messages {
    /** How a wait, a download or a submit ends that was interrupted. */
    static final String GO_ON = "interrupted; run again to go on";
    /** Letters and symbols that are drawn as a space: Hangul fillers, and Braille without a dot. */
    private static final String FILLERS = "\u115f\u1160\u3164\uffa0\u2800";

    private Messages() {}

    static <T> T given(String word, T value) {
        if (value == null) throw new IllegalArgumentException(word + ": the argument is null");
        return value;
    }

    static long notNegative(String word, long number) {
        if (number < 0) throw new IllegalArgumentException(word + ": " + number + " is less than 0");
        return number;
    }

    static String count(long number, String noun) { return number(number) + " " + noun + (number == 1 ? "" : "s"); }

    /** Returns a number as all that people read has it: 200,000. */
    static String number(long number) { return String.format(Locale.ROOT, "%,d", number); }

    /** Returns an amount of dollars in cents, and one below a dime in two digits that tell: $1,204.50, $0.0073. */
    static String dollars(double amount) {
        if (amount >= 0.1 || amount == 0) return String.format(Locale.ROOT, "$%,.2f", amount);
        return "$" + new BigDecimal(amount).round(new MathContext(2)).toPlainString();
    }

    /** Returns a number as whoever gave it wrote it: 5, and not 5.0. */
    static String plain(double number) {
        return number == (long) number ? String.valueOf((long) number) : String.valueOf(number);
    }

    /** Returns the start of a text, on one line. */
    static String clip(String text, int most) {
        var line = text.strip().replaceAll("\\s+", " ");
        return line.length() <= most ? line : line.substring(0, Math.max(0, most - 1)) + "\u2026";
    }

    /** Returns names with what nobody sees in them made visible: a no-break space is {@code <U+00A0>}. */
    static String visible(Collection<String> names) {
        return names.stream().map(Messages::visible).collect(Collectors.joining(", "));
    }

    static String visible(String name) {
        var shown = name.codePoints().mapToObj(c -> isVisible(c) ? Character.toString(c)
            : String.format(Locale.ROOT, "<U+%04X>", c)).collect(Collectors.joining());
        return shown.isEmpty() || !shown.equals(shown.strip()) ? "\"" + shown + "\"" : shown;
    }

    /** Returns the name that was meant, if one of these is but a slip away: a letter or two, or their case. */
    static Optional<String> near(String slip, Collection<String> names) {
        return names.stream().filter(name -> visible(name).equals(name) && !name.equals(slip))
            .filter(name -> distance(slip.toLowerCase(Locale.ROOT), name.toLowerCase(Locale.ROOT))
                <= Math.min(2, Math.min(slip.length(), name.length()) / 2))
            .min(Comparator.comparing(name -> distance(slip, name)));
    }

    /** Levenshtein's: how many letters to add, drop or change. */
    private static int distance(String a, String b) {
        var row = IntStream.rangeClosed(0, b.length()).toArray();
        for (int i = 1; i <= a.length(); i++) {
            int before = row[0]++;
            for (int j = 1; j <= b.length(); j++) {
                int change = before + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                before = row[j];
                row[j] = Math.min(change, Math.min(row[j - 1], row[j]) + 1);
            }
        }
        return row[b.length()];
    }

    private static boolean isVisible(int c) {
        return switch (Character.getType(c)) {
            case Character.SPACE_SEPARATOR -> c == ' ';
            case Character.CONTROL, Character.FORMAT, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR,
                Character.SURROGATE, Character.UNASSIGNED -> false;
            default -> FILLERS.indexOf(c) < 0;
        };
    }

    /** Returns what went wrong with a file or a connection, in a few words. */
    static String reason(IOException e) {
        if (e instanceof MismatchedInputException mismatch)
            return mismatch.getOriginalMessage().startsWith("Trailing token") ? "more follows it"
                : "it is something else";
        if (e instanceof JsonProcessingException json)
            return firstLine(json.getOriginalMessage()).replaceFirst(" \\(.*REDACTED.*", "")
                .replaceFirst("^Non-standard token '(.*?)'.*", "$1 is no JSON; write null");
        if (e instanceof FileSystemException file && file.getReason() != null)
            return file.getReason().toLowerCase(Locale.ROOT);
        if (e instanceof NoSuchFileException) return "no such file or folder";
        if (e instanceof AccessDeniedException) return "permission denied";
        if (e instanceof ClosedByInterruptException) return "interrupted";
        if (e instanceof UnknownHostException) return "unknown host";
        if (e instanceof ConnectException) return "connection refused";
        return firstLine(e.getMessage()).isEmpty() ? "connection lost" : firstLine(e.getMessage());
    }

    private static String firstLine(String text) {
        return text == null ? "" : text.strip().lines().findFirst().orElse("").strip();
    }

    /** Returns the first line of what the deepest cause says. */
    static String cause(Throwable e) {
        var deepest = e;
        while (deepest.getCause() != null && deepest.getCause() != deepest) deepest = deepest.getCause();
        return deepest.getMessage() == null ? deepest.getClass().getSimpleName() : firstLine(deepest.getMessage());
    }

    /** An amount of bytes in three digits or four. */
    static String size(long bytes) {
        if (bytes < 1000) return bytes + " B";
        int unit = (int) Math.min(2, Math.log10(bytes) / 3 - 1);
        double amount = bytes / Math.pow(1000, unit + 1);
        return String.format(Locale.ROOT, amount < 100 ? "%.1f %s" : "%.0f %s", amount,
            List.of("kB", "MB", "GB").get(unit));
    }

    static String day(Instant time) { return minute(time).substring(0, 10); }

    static String minute(Instant time) {
        return time.atZone(ZoneId.systemDefault()).toLocalDateTime().truncatedTo(MINUTES).toString().replace('T', ' ');
    }

    /** Says what a file, a folder or a connection did not let be done, and why. */
    static UncheckedIOException cannot(String step, String what, IOException e) {
        return new UncheckedIOException(step + ": cannot " + what + " (" + reason(e) + ")", e);
    }
}
