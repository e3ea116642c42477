package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How long engines want to be left alone, in the words of each. */
class RateLimitTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "Retry-After: 2 | 2000",
        "Retry-After: 0.5 | 500",
        "retry-after-ms: 1500.7; Retry-After: 2 | 1500",
        "Retry-After: soon | -1",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: 6m0s | 360000",
        "x-ratelimit-remaining-tokens: 0; x-ratelimit-reset-tokens: 2m59.56s | 179560",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: 20ms | 20",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: 1h2m3s | 3723000",
        "x-ratelimit-remaining-requests: 14; x-ratelimit-reset-requests: 6m0s | -1",
        "x-ratelimit-remaining-requests: 0 | -1",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: when it suits | -1",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-tokens: 6m0s | -1",
        "x-ratelimit-remaining-tokens-minute: 0; x-ratelimit-reset-tokens-minute: 21.382 | 21382",
        "x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: 1s; x-ratelimit-remaining-tokens: 0; "
            + "x-ratelimit-reset-tokens: 7.66s | 7660",
        "RateLimit-Remaining: 0; RateLimit-Reset: 30 | 30000",
        "Retry-After: 3; x-ratelimit-remaining-requests: 0; x-ratelimit-reset-requests: 6m0s | 3000",
        "content-type: application/json | -1"})
    void whatHeadersAskFor(String headers, long millis) {
        assertEquals(millis, RateLimit.millis(headers(headers), Json.object()));
    }

    @ParameterizedTest
    @CsvSource({"1000", "1"})
    void aTimeSince1970IsOneFromNow(long unit) {
        long then = (Instant.now().toEpochMilli() + 60_000) / unit;

        long millis = RateLimit.millis(headers("X-RateLimit-Remaining: 0; X-RateLimit-Reset: " + then), Json.object());

        assertTrue(millis > 50_000 && millis <= 60_000, millis + " ms");
    }

    @Test void aDayIsOneFromNow() {
        var then = Instant.now().plusSeconds(60);

        long millis = RateLimit.millis(headers("anthropic-x: 1; x-ratelimit-remaining-requests: 0; "
            + "x-ratelimit-reset-requests: " + then), Json.object());

        assertTrue(millis > 50_000 && millis <= 60_000, millis + " ms");
    }

    /** OpenRouter's, at the end of a day's free requests. */
    @Test void anErrorRepeatsTheHeadersInItsText() throws Exception {
        long then = Instant.now().toEpochMilli() + 60_000;
        var error = Json.parsed(("{\"error\":{\"message\":\"Rate limit exceeded: free-models-per-day\",\"code\":429,"
            + "\"metadata\":{\"headers\":{\"X-RateLimit-Limit\":\"50\",\"X-RateLimit-Remaining\":\"0\","
            + "\"X-RateLimit-Reset\":\"" + then + "\"},\"provider_name\":null}}}").getBytes(StandardCharsets.UTF_8));

        long millis = RateLimit.millis(headers("content-type: application/json"), error);

        assertTrue(millis > 50_000 && millis <= 60_000, millis + " ms");
    }

    private static HttpHeaders headers(String text) {
        return HttpHeaders.of(Stream.of(text.split("; ")).map(header -> header.split(": ", 2))
            .collect(Collectors.toMap(header -> header[0], header -> List.of(header[1]))), (name, value) -> true);
    }
}
