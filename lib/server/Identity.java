package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.stream.Collectors.joining;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import org.eclipse.jetty.server.Response;

/**
 * Who a server is: its store, and who answers behind it, as headers of each response tell clients, which keep answers
 * by it. An engine on this machine is asked who it is, because a model of ours has another port each time; any other is
 * known by its URL. What clients hear stays the same while the server runs, so it is settled no sooner than somebody
 * needs it: an engine that starts after its server is still asked in time. If it is not there even then, it counts as
 * the one that this store last knew at its URL. Answers of one that turns out to be another do not count.
 */
final class Identity {
    private static final String STORE = "x-sheaf-store";
    private static final String ENGINE = "x-sheaf-engine";
    private static final Duration PATIENCE = Duration.ofSeconds(5);   // with an engine that is asked who it is
    private static final int LONGEST = 1_000;                         // characters, of the 8 KB that all headers have
    private static final Pattern ON_THIS_MACHINE =
        Pattern.compile("https?://(localhost|127(\\.\\d{1,3}){3}|\\[::1])([:/].*)?");
    private static final Pattern PRINTABLE = Pattern.compile("[!-~]+( [!-~]+)*");

    private final Store store;
    private final Settings.Answering answering;
    private final String url;
    private final String models;      // which names the engine has for those of clients
    private final String remembered;  // under which key the store remembers what the engine said
    private final List<Identity> each;   // where there are several engines: who each of them is
    private String said;              // by the engine of itself: empty if nothing, null as long as it is not settled

    Identity(Store store, Settings.Answering answering) {
        this(store, answering, "engine", answering.others().isEmpty() ? List.of() : answering.each().stream()
            .map(one -> new Identity(store, one, "engine " + one.engine(), List.of())).toList());
    }

    private Identity(Store store, Settings.Answering answering, String remembered, List<Identity> each) {
        this.remembered = remembered;
        this.each = each;
        this.store = store;
        this.answering = answering;
        this.url = URI.create(answering.engine().replaceFirst("/+$", "")).toASCIIString();
        this.models = url.equals(Settings.ECHO) ? "" : named(answering.models());      // the echo takes any name
        this.said = ON_THIS_MACHINE.matcher(url).matches() ? null : "";
    }

    private static String named(Map<String, String> models) {
        return new TreeMap<>(models).entrySet().stream()
            .map(name -> " " + encoded(name.getKey()) + "=" + encoded(name.getValue())).collect(joining());
    }

    private static String encoded(String name) {
        return URLEncoder.encode(name, UTF_8).replace("+", "%20").replace("%2F", "/").replace("%3A", ":");
    }

    /** Returns who each engine is, in the order in which they were given. */
    List<Identity> each() { return each.isEmpty() ? List.of(this) : each; }

    /** Returns who answers, in printable ASCII; several in an order of their own. */
    synchronized String engine() {
        if (!each.isEmpty())
            return shortened(each.stream().map(Identity::engine).sorted().collect(joining(" and ")));
        if (said == null) ask().ifPresentOrElse(this::settle, () -> said = remembered());
        return shortened((said.isEmpty() ? url : said) + models);
    }

    /** Returns a text that fits into a header, with a digest of the whole in place of what is cut off. */
    private static String shortened(String text) {
        if (text.length() <= LONGEST) return text;
        var digest = UUID.nameUUIDFromBytes(text.getBytes(UTF_8)).toString();
        return text.substring(0, LONGEST - digest.length()) + digest;
    }

    /** Returns what the engine says of itself, or nothing if it does not answer. */
    private Optional<String> ask() {
        var request = HttpRequest.newBuilder(URI.create(url + "/models"));
        if (answering.key() != null) request.header("Authorization", "Bearer " + answering.key());
        var http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(PATIENCE).build();
        var sent = http.sendAsync(request.build(), HttpResponse.BodyHandlers.discarding());
        try {
            return saidIn(sent.get(PATIENCE.toMillis(), MILLISECONDS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Optional.empty();
        } catch (ExecutionException | TimeoutException absent) {
            return Optional.empty();
        } finally {
            sent.cancel(true);
        }
    }

    /** Returns what an answer says of who sent it, or nothing if that is not the engine, but a proxy without it. */
    private static Optional<String> saidIn(HttpResponse<?> answer) {
        var name = answer.headers().firstValue(ENGINE)
            .filter(value -> value.length() <= LONGEST && PRINTABLE.matcher(value).matches());
        return name.isEmpty() && answer.statusCode() >= 500 ? Optional.empty() : Optional.of(name.orElse(""));
    }

    private void settle(String name) {
        said = name;
        if (!name.equals(remembered())) store.remember(remembered, url + " " + name);
    }

    private String remembered() {
        return store.recall(remembered).filter(last -> last.startsWith(url + " "))
            .map(last -> last.substring(url.length() + 1)).orElse("");
    }

    /** Returns why an answer does not count, if another engine sent it than the one that clients are told of. */
    synchronized Optional<String> objectionTo(HttpResponse<?> answer) {
        if (!ON_THIS_MACHINE.matcher(url).matches()) return Optional.empty();
        var sender = saidIn(answer);
        if (said == null) sender.ifPresent(this::settle);
        if (said == null || said.isEmpty()) return Optional.empty();
        return sender.filter(name -> !name.equals(said)).map(name -> "The engine is no longer " + said + " but "
            + (name.isEmpty() ? "one that does not say its name" : name) + "; start the server again to use that one.");
    }

    /** Returns both as a list of models has them. */
    ObjectNode json() { return Json.object().put("store", store.id).put("engine", engine()); }

    /** Puts the headers on a response, without the engine, whose URL may be private, for who has not been let in. */
    void sign(Response response, boolean isLetIn) {
        response.getHeaders().put(STORE, store.id);
        if (isLetIn) response.getHeaders().put(ENGINE, engine());
    }
}
