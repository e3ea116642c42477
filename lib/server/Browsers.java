// the page at /; a server without the page needs neither this line nor the file
//FILES sheaf/server/BatchServer.html=BatchServer.html

package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URLEncoder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.Optional;
import java.util.regex.Pattern;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.server.Response;

/**
 * What browsers need: the server's own page, and protection from the pages of other sites. Any page can make a browser
 * on this machine send requests here and, once the page's host name resolves to 127.0.0.1, read the answers. So
 * requests of other sites are refused; programs send neither Origin nor Sec-Fetch-Site. Browsers know no batch.
 *
 * @see <a href="https://fetch.spec.whatwg.org/#origin-header">Origin</a>
 * @see <a href="https://www.w3.org/TR/fetch-metadata/">Sec-Fetch-Site</a>
 */
final class Browsers {
    private static final Pattern LOOPBACK_HOST =
        Pattern.compile("(?i)(localhost|127(\\.\\d{1,3}){3}|\\[::1])(:\\d{1,5})?");
    private static final Pattern UNSAFE_IN_NAMES = Pattern.compile("[\\p{Cc}\\p{Cf}\\p{Cs}\"*/:<>?\\\\|]+");
    private static final int MAX_NAME = 100;          // code points, so that the header stays within Jetty's 8 KB

    /** The page at {@code /}, and the policy that lets a browser run nothing else in it. */
    record WebPage(byte[] html, String policy) {
        private static final String POLICY = "default-src 'none'; connect-src 'self'; img-src data:; style-src %s;"
            + " script-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            + " require-trusted-types-for 'script'; trusted-types 'none'";

        /** Reads the page, which a server need not have. */
        static Optional<WebPage> read() {
            try (var file = Browsers.class.getResourceAsStream("BatchServer.html")) {
                return Optional.ofNullable(file == null ? null : of(new String(file.readAllBytes(), UTF_8)));
            } catch (IOException e) {
                throw new UncheckedIOException("start: BatchServer.html cannot be read (" + e.getMessage() + ")", e);
            }
        }

        private static WebPage of(String text) {
            var html = text.replace("\r\n", "\n");       // as browsers do before they hash a part of it
            return new WebPage(html.getBytes(UTF_8),
                String.format(POLICY, hash(html, "style"), hash(html, "script")));
        }

        /** Returns the hash by which a policy names the one element of this name. */
        private static String hash(String html, String element) {
            int start = html.indexOf("<" + element + ">") + element.length() + 2;
            var content = html.substring(start, html.indexOf("</" + element + ">", start));
            try {
                var digest = MessageDigest.getInstance("SHA-256").digest(content.getBytes(UTF_8));
                return "'sha256-" + Base64.getEncoder().encodeToString(digest) + "'";
            } catch (NoSuchAlgorithmException impossible) {   // every JVM has it
                throw new AssertionError(impossible);
            }
        }

        void send(Call call) {
            var headers = call.response().getHeaders();
            headers.put("Content-Security-Policy", policy);
            headers.put("Cross-Origin-Opener-Policy", "same-origin");
            call.send(200, "text/html; charset=utf-8", html);
        }
    }

    private Browsers() { }

    /** Tells browsers that a response is what its type says, is for this origin, and is not to be stored. */
    static void protect(Response response) {
        response.getHeaders().put("X-Content-Type-Options", "nosniff");
        response.getHeaders().put("Referrer-Policy", "no-referrer");
        response.getHeaders().put("Cross-Origin-Resource-Policy", "same-origin");
        response.getHeaders().put(HttpHeader.CACHE_CONTROL, "no-store");
    }

    static boolean isPage(Call call) { return call.method().equals("GET") && call.path().equals("/"); }

    /** Refuses what the page of another site has made a browser send. */
    static void refuseStrangers(Call call, Settings.Listening listening) {
        var host = Optional.ofNullable(call.header("Host")).orElse("");
        if (listening.apiKey() == null && !isOwn(host, listening))
            throw forbidden("host_not_allowed", "Host '" + host + "' is not a name of this machine; call the"
                + " server as localhost or 127.0.0.1, or start it with an API key.");
        var origin = call.header("Origin");
        if (origin != null && !isOrigin(origin, host))
            throw forbidden("origin_not_allowed", "Origin '" + origin + "' is another site; only the server's own"
                + " page and programs may call it.");
        if ("cross-site".equals(call.header("Sec-Fetch-Site")) && !isVisit(call))
            throw forbidden("origin_not_allowed", "A page of another site made this request; only the server's own"
                + " page and programs may call it.");
    }

    private static Refusal forbidden(String code, String message) { return new Refusal(403, message, null, code); }

    private static boolean isOwn(String host, Settings.Listening listening) {
        var name = host.replaceFirst(":\\d{1,5}$", "");
        return LOOPBACK_HOST.matcher(host).matches()
            || name.equalsIgnoreCase(listening.bracketed());
    }

    /** Returns whether an origin is that of a host; it has https where a proxy is in front of this server. */
    private static boolean isOrigin(String origin, String host) {
        return origin.equalsIgnoreCase("http://" + host) || origin.equalsIgnoreCase("https://" + host);
    }

    /** Returns whether somebody followed a link to the page, which holds no data and shows in no frame. */
    private static boolean isVisit(Call call) {
        return isPage(call) && "navigate".equals(call.header("Sec-Fetch-Mode"))
            && "document".equals(call.header("Sec-Fetch-Dest"));
    }

    /** Returns a Content-Disposition (RFC 6266) that makes a browser save a file, under a name that is safe. */
    static String attachment(String fileName) {
        var name = safe(fileName);
        var ascii = name.replaceAll("[^\\x20-\\x7e]|[%;]", "_");
        return "attachment; filename=\"" + ascii + "\"; filename*=UTF-8''"
            + URLEncoder.encode(name, UTF_8).replace("+", "%20");
    }

    /** Returns a name without what a header, a file system or a reader could take for something else. */
    private static String safe(String fileName) {
        var name = UNSAFE_IN_NAMES.matcher(fileName).replaceAll("_").strip();
        int[] points = name.codePoints().toArray();
        var end = name.replaceFirst("(?s).*?(\\.\\w{1,10})?$", "$1");
        var cut = points.length <= MAX_NAME ? name
            : new String(points, 0, MAX_NAME - end.length()) + end;
        return cut.matches("\\.*") ? "file" : cut;
    }
}
