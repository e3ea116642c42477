package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.StringJoiner;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.Callback;
import sheaf.server.Concurrency.Permits;

/**
 * Takes every HTTP request to its endpoint: checks who calls, refuses what no endpoint takes, and gives all errors one
 * shape. It knows paths and methods, but not what an endpoint does.
 */
final class Router extends Handler.Abstract {
    private static final List<String> PASSED = List.of("chat/completions", "embeddings", "completions", "responses",
        "moderations");
    private static final Set<String> WRITING = Set.of("POST", "PUT");
    private static final Set<Integer> UNREAD = Set.of(401, 403, 408, 429);   // of their bodies no more is awaited
    private static final String HEALTH = "/health";
    private static final String ROUTE = "sheaf.route";    // where a request bears the name of its route
    private static final int MAX_WRITING = 96;        // of these at once; the other HTTP threads stay free for GETs
    private static final int MAX_RECORDED = 10_000;   // requests

    private interface Endpoint {
        void serve(Call call) throws IOException, InterruptedException;
    }

    /** A pattern of paths, as figures show it, and what serves them. */
    private record Route(String method, String name, Pattern path, Endpoint endpoint) {
    }

    /** What serves requests. */
    record Endpoints(FileEndpoints files, BatchEndpoints batches, EngineEndpoints engine, PageEndpoints page,
        Monitoring monitoring) {
    }

    private final Deque<String> recorded = new ArrayDeque<>();
    private final Permits writing = new Permits(MAX_WRITING);
    private final Settings.Listening listening;
    private final Manners dialect;
    private final Script script;
    private final Identity identity;
    private final Metrics metrics;
    private final List<Route> routes;

    Router(Settings settings, Script script, Identity identity, Metrics metrics, Endpoints endpoints) {
        this.listening = settings.listening();
        this.dialect = settings.limits().dialect();
        this.script = script;
        this.identity = identity;
        this.metrics = metrics;
        this.routes = Stream.of(own(endpoints.page, endpoints.monitoring), api(endpoints.files, endpoints.batches),
            api(endpoints.engine)).flatMap(List::stream).toList();
    }

    private List<Route> own(PageEndpoints page, Monitoring monitoring) {
        return List.of(
            route("GET", "/", this::webPage),
            route("GET", "/page/batches", page::batches),
            route("GET", "/page/batches/{id}", page::batch),
            route("GET", "/page/batches/{id}/rows", page::rows),
            route("GET", "/page/batches/{id}/row", page::row),
            route("GET", HEALTH, monitoring::health),
            route("GET", "/metrics", monitoring::metrics));
    }

    private List<Route> api(FileEndpoints files, BatchEndpoints batches) {
        return List.of(
            route("POST", dialect.uploads(), files::create),
            route("POST", "/v1/files", files::announce),    // of a dialect whose uploads have another path
            route("PUT", "/v1/files/{id}/content", files::putContent),
            route("POST", "/v1/files/{id}/preprocess", files::preprocess),
            route("GET", "/v1/files", files::list),
            route("GET", "/v1/files/{id}", files::retrieve),
            route("DELETE", "/v1/files/{id}", files::delete),
            route("GET", "/v1/files/{id}/content", files::content),
            route("POST", "/v1/uploads", files::createUpload),
            route("POST", "/v1/uploads/{id}/parts", files::addPart),
            route("POST", "/v1/uploads/{id}/complete", files::completeUpload),
            route("POST", "/v1/uploads/{id}/cancel", files::cancelUpload),
            route("POST", "/v1/batches", batches::create),
            route("GET", "/v1/batches", batches::list),
            route("GET", "/v1/batches/{id}", batches::retrieve),
            route("POST", "/v1/batches/{id}/cancel", batches::cancel));
    }

    private List<Route> api(EngineEndpoints engine) {
        return List.of(
            route("GET", "/v1/models", engine::listModels),
            route("GET", "/v1/models/{model}", engine::retrieveModel),
            route("POST", "/v1/(?:" + String.join("|", PASSED) + ")", engine::pass),
            route("POST", "/v1/deployments/{id}/(?:" + String.join("|", PASSED) + ")", engine::pass));
    }

    private static Route route(String method, String path, Endpoint endpoint) {
        var regex = path.replace("{id}", "([^/]+)").replace("{model}", "(.+?)") + "/?";
        var name = path.replaceFirst("\\(.*\\)", "{endpoint}");
        return new Route(method, name, Pattern.compile(regex), endpoint);
    }

    @Override public boolean handle(Request request, Response response, Callback callback) throws Exception {
        var call = new Call(request, response, callback, path(request));
        head(response, listening.apiKey() == null);
        record(call);
        long began = System.nanoTime();
        Request.addCompletionListener(request, failure -> metrics.countResponse(call.method(),
            String.valueOf(Optional.ofNullable(request.getAttribute(ROUTE)).orElse("none")), response.getStatus(),
            began));
        var fault = script.nextFault(call.toString());
        if (fault instanceof Script.Refused refused) refused.refuse(call);
        else if (fault instanceof Script.Spoiled spoiled) serve(spoiled.spoil(call));
        else serve(call);
        return true;
    }

    /** Puts on a response what all of them have. */
    private void head(Response response, boolean isLetIn) {
        response.getHeaders().put("x-request-id", Json.newId("req_"));
        Browsers.protect(response);
        identity.sign(response, isLetIn);
    }

    /** Returns the path of a request as the routes have it, whatever the dialect puts before it. */
    private String path(Request request) {
        return dialect.path(Optional.ofNullable(request.getHttpURI().getPath()).orElse("/"));
    }

    private void serve(Call call) throws IOException, InterruptedException {
        try {
            Browsers.refuseStrangers(call, listening);
            authorize(call);
            if (WRITING.contains(call.method())) writing.with(1, () -> dispatch(call));
            else dispatch(call);
        } catch (Refusal refusal) {
            boolean whole = call.skipBody(UNREAD.contains(refusal.status) ? 0 : Call.MAX_SKIPPED);
            if (refusal.status == 409)               // or OpenAI's clients would repeat the request
                call.response().getHeaders().put("x-should-retry", "false");
            if (!whole || refusal.status == 413)     // no request can follow the bytes that are left
                call.response().getHeaders().put("Connection", "close");
            call.send(refusal.status, refusal.body());
        }
    }

    private void record(Call call) {
        synchronized (recorded) {
            if (recorded.size() == MAX_RECORDED) recorded.removeFirst();
            recorded.addLast(cut(call.toString()));
        }
    }

    private static String cut(String request) { return request.substring(0, Math.min(request.length(), 200)); }

    /** Returns the last requests, oldest first, each as {@code POST /v1/batches}. */
    List<String> requests() {
        synchronized (recorded) {
            return List.copyOf(recorded);
        }
    }

    private void authorize(Call call) {
        boolean isOpen = Browsers.isPage(call) || call.path().equals(HEALTH)
            || dialect.isPresigned(call.method(), call.path());
        if (listening.apiKey() == null || isOpen) return;
        var given = credentials(call);
        if (given == null) throw new Refusal(401, "You didn't provide an API key.", null, null);
        boolean bearer = given.regionMatches(true, 0, "Bearer ", 0, "Bearer ".length());
        var key = bearer ? given.substring("Bearer ".length()).strip() : "";
        if (!MessageDigest.isEqual(listening.apiKey().getBytes(UTF_8), key.getBytes(UTF_8)))
            throw new Refusal(401, "Incorrect API key provided.", null, "invalid_api_key");
        identity.sign(call.response(), true);
    }

    /** Returns the Authorization header, or what a dialect has in its place, or null. */
    private String credentials(Call call) {
        var bare = dialect.keyHeader() == null ? null : call.header(dialect.keyHeader());
        return bare == null ? call.header("Authorization") : "Bearer " + bare;
    }

    /** Serves a call, and returns it. */
    private Call dispatch(Call call) throws IOException, InterruptedException {
        var allowed = new StringJoiner(", ");
        for (var route : routes) {
            var path = route.path.matcher(call.path());
            if (!path.matches() || !dialect.has(route.method, call.path())) continue;
            if (route.method.equals(call.method()) || call.method().equals("HEAD") && route.method.equals("GET")) {
                call.request().setAttribute(ROUTE, route.name);
                route.endpoint.serve(path.groupCount() == 0 ? call : call.withId(path.group(1)));
                return call;
            }
            allowed.add(route.method);
        }
        throw allowed.length() == 0 ? unknownRoute(call) : wrongMethod(call, allowed.toString());
    }

    private static Refusal unknownRoute(Call call) {
        var message = "Unknown request URL: " + call.method() + " " + call.path() + ".";
        var others = " The engine is asked by POST at /v1/" + String.join(", /v1/", PASSED) + ".";
        return new Refusal(404, call.method().equals("POST") ? message + others : message, null, "unknown_url");
    }

    private static Refusal wrongMethod(Call call, String allowed) {
        call.response().getHeaders().put(HttpHeader.ALLOW, allowed);
        var message = "Not allowed to " + call.method() + " on " + call.path() + ".";
        return new Refusal(405, message, null, "method_not_supported");
    }

    /** Answers what Jetty itself refuses or what broke, in the shape of every other error. */
    boolean unhandled(Request request, Response response, Callback callback) {
        int status = response.getStatus();
        head(response, listening.apiKey() == null);
        new Call(request, response, callback, "")
            .send(status, Refusal.envelope(status, unhandled(request, status), null, null));
        return true;
    }

    private static String unhandled(Request request, int status) {
        var cause = (Throwable) request.getAttribute(ErrorHandler.ERROR_EXCEPTION);
        if (status < 500 || cause == null) return String.valueOf(request.getAttribute(ErrorHandler.ERROR_MESSAGE));
        if (cause instanceof UncheckedIOException store) return Refusal.reason(store);
        return "The server could not do this (" + Refusal.reason(cause) + ").";
    }

    private void webPage(Call call) {
        if (!dialect.isOpenAi()) throw unknownRoute(call);      // the page knows no other
        Browsers.WebPage.read().orElseThrow(() -> unknownRoute(call)).send(call);
    }
}
