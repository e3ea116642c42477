package sheaf;

import static java.time.ZoneOffset.UTC;
import static sheaf.Messages.count;

import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import sheaf.Listings.Groups;

/** When rows were answered, by their providers' clocks, which count in seconds; what they do not say is not guessed. */
final class Timeline {
    private static final int MOST = 12;                   // bars
    private static final long MINUTE = 60, HOUR = 3_600, DAY = 86_400;         // seconds
    private static final long[] STEPS = {1, 5, 10, 30, MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR,
        6 * HOUR, 12 * HOUR, DAY};
    private static final DateTimeFormatter DATE = pattern("uuuu-MM-dd");
    private static final DateTimeFormatter SECOND = pattern("uuuu-MM-dd HH:mm:ss");

    private final TreeMap<Long, Long> answers = new TreeMap<>();       // how many, by the local time as seconds
    private long silent;                                  // results that say no time
    private long before;                                  // answers of earlier batches

    private static DateTimeFormatter pattern(String pattern) {
        return DateTimeFormatter.ofPattern(pattern, Locale.ROOT);
    }

    /** Returns how many were answered from the begin of each step, from the first to the last; none if nobody says. */
    static Groups<LocalDateTime, Long> of(Stream<Exchange> exchanges) {
        var timeline = new Timeline();
        exchanges.forEach(timeline::add);
        return timeline.bars();
    }

    void add(Exchange exchange) {
        var at = exchange.answeredAt();
        if (exchange.isReused()) before++;
        else if (at.isPresent()) answers.merge(seconds(at.get()), 1L, Long::sum);
        else silent++;
    }

    private static long seconds(Instant at) {
        return LocalDateTime.ofInstant(at, ZoneId.systemDefault()).toEpochSecond(UTC);
    }

    private static LocalDateTime time(long seconds) { return LocalDateTime.ofEpochSecond(seconds, 0, UTC); }

    Groups<LocalDateTime, Long> bars() {
        var steps = new TreeMap<LocalDateTime, Long>();
        long step = answers.isEmpty() ? 1 : step();
        answers.forEach((second, count) -> steps.merge(time(second - second % step), count, Long::sum));
        for (long at = first(); at < last(); at += step) steps.putIfAbsent(time(at - at % step), 0L);
        return new Groups<>(steps, Long::longValue, label(step)::format, note(step));
    }

    private long first() { return answers.isEmpty() ? 0 : answers.firstKey(); }

    private long last() { return answers.isEmpty() ? 0 : answers.lastKey(); }

    /** Returns the shortest step of which few enough are needed; past a day as many days as that takes. */
    private long step() {
        long least = (last() - first()) / (MOST - 1) + 1;
        return LongStream.of(STEPS).filter(step -> step >= least).findFirst().orElse((least + DAY - 1) / DAY * DAY);
    }

    private DateTimeFormatter label(long step) {
        if (step >= DAY) return DATE;
        var day = first() / DAY == last() / DAY ? "" : "uuuu-MM-dd ";
        return pattern(day + (step < MINUTE ? "HH:mm:ss" : "HH:mm"));
    }

    private String note(long step) {
        var out = new ArrayList<String>();
        if (silent > 0) out.add(count(silent, "result") + " without a time");
        if (before > 0) out.add(count(before, "answer") + " of earlier batches");
        return span(step) + (out.isEmpty() ? "" : "\nleft out: " + String.join(", ", out));
    }

    private String span(long step) {
        if (answers.isEmpty()) return "no answer says when it was given";
        var clock = ", by the provider's clock";
        if (first() == last()) return "all in the same second, " + SECOND.format(time(first())) + clock;
        boolean isOneDay = first() / DAY == last() / DAY;
        return "from " + SECOND.format(time(first())) + " to "
            + (isOneDay ? pattern("HH:mm:ss") : SECOND).format(time(last())) + clock + "; a bar is " + unit(step);
    }

    private static String unit(long step) {
        var units = Map.of(DAY, "day", HOUR, "hour", MINUTE, "minute", 1L, "second");
        long unit = LongStream.of(DAY, HOUR, MINUTE, 1).filter(each -> step % each == 0).findFirst().orElse(1);
        return count(step / unit, units.get(unit));
    }
}
