package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpHeaders;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * How long an engine wants to be left alone, as an answer of it says: by Retry-After, or by a limit of which nothing is
 * left and when that begins anew. Engines write the time in their own ways: OpenAI and Groq {@code 6m0s}, Cerebras
 * seconds, OpenRouter milliseconds since 1970, which its errors repeat in their text. It does not wait.
 */
final class RateLimit {
    private static final Pattern NUMBER = Pattern.compile("\\d{1,9}(\\.\\d{1,20})?");
    private static final Pattern SINCE_1970 = Pattern.compile("\\d{10}(\\d{3})?");
    private static final Pattern AMOUNT = Pattern.compile("(\\d{1,9}(?:\\.\\d{1,9})?)(ms|s|m|h|d)");
    private static final Pattern AMOUNTS = Pattern.compile("(" + AMOUNT + ")+");
    private static final Map<String, Integer> UNITS =
        Map.of("ms", 1, "s", 1_000, "m", 60_000, "h", 3_600_000, "d", 86_400_000);
    private static final Pattern NOTHING_LEFT = Pattern.compile("(x-)?ratelimit-remaining(-.+)?");

    private RateLimit() { }

    /** Returns the milliseconds after which to ask again, or -1 if an answer does not say. */
    static long millis(HttpHeaders headers, JsonNode body) {
        var said = new TreeMap<String, String>();
        body.at("/error/metadata/headers").properties()
            .forEach(header -> said.put(header.getKey().toLowerCase(Locale.ROOT), header.getValue().asText()));
        headers.map().forEach((name, values) -> said.put(name.toLowerCase(Locale.ROOT), values.get(0).strip()));
        long asked = retryAfter(said);
        return asked >= 0 ? asked : untilReset(said);
    }

    private static long retryAfter(Map<String, String> said) {
        var millis = said.getOrDefault("retry-after-ms", "");
        if (NUMBER.matcher(millis).matches()) return (long) Double.parseDouble(millis);
        var text = said.getOrDefault("retry-after", "");
        return NUMBER.matcher(text).matches() ? seconds(text) : untilDate(text, DateTimeFormatter.RFC_1123_DATE_TIME);
    }

    /** Returns when the last of the limits that are used up begins anew. */
    private static long untilReset(Map<String, String> said) {
        return said.keySet().stream()
            .filter(name -> NOTHING_LEFT.matcher(name).matches() && said.get(name).matches("0+(\\.0+)?"))
            .mapToLong(name -> until(said.getOrDefault(name.replace("-remaining", "-reset"), ""))).max().orElse(-1);
    }

    private static long until(String reset) {
        if (SINCE_1970.matcher(reset).matches())
            return fromNow(Instant.ofEpochMilli(Long.parseLong((reset + "000").substring(0, 13))));
        if (NUMBER.matcher(reset).matches()) return seconds(reset);
        if (AMOUNTS.matcher(reset).matches()) return sum(reset);
        return untilDate(reset, DateTimeFormatter.ISO_OFFSET_DATE_TIME);
    }

    private static long sum(String amounts) {
        return AMOUNT.matcher(amounts).results()
            .mapToLong(each -> (long) (Double.parseDouble(each.group(1)) * UNITS.get(each.group(2)))).sum();
    }

    private static long seconds(String text) { return (long) (1000 * Double.parseDouble(text)); }

    private static long untilDate(String text, DateTimeFormatter format) {
        try {
            return fromNow(ZonedDateTime.parse(text, format).toInstant());
        } catch (DateTimeException noDate) {
            return -1;
        }
    }

    private static long fromNow(Instant then) { return Math.max(0, Duration.between(Instant.now(), then).toMillis()); }
}
