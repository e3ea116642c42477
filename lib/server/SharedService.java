package sheaf.server;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * The one server of a store, for all processes that need it at the same time: the first runs it, the others are its
 * guests, and it ends with the last of them. It serves nothing itself.
 */
final class SharedService implements AutoCloseable {
    private static final Duration GLANCE = Duration.ofSeconds(3);

    final String baseUrl;
    final Optional<Service> service;     // none if another process runs it
    private final Path store;
    private final Guests guests;         // that this process is one of; null if it runs the server

    private SharedService(String baseUrl, Optional<Service> service, Path store, Guests guests) {
        this.baseUrl = baseUrl;
        this.service = service;
        this.store = store;
        this.guests = guests;
    }

    /** Starts the server of a store, or joins the one that another process runs. */
    static SharedService open(Settings settings) {
        var guests = Guests.join(settings.store());
        try {
            var service = Service.startIfFree(settings);
            var url = service.map(Service::baseUrl).orElseGet(() -> running(settings));
            var shared = new SharedService(url, service, settings.store(), service.isPresent() ? null : guests);
            if (service.isPresent()) guests.close();
            return shared;
        } catch (RuntimeException e) {
            guests.close();
            throw e;
        }
    }

    /** Returns where the store's server listens; one with an echo for an engine is not to pass for another. */
    private static String running(Settings settings) {
        var url = HeldFolder.awaitUrl(settings.store());
        if (isEcho(url) && !settings.answering().engine().equals(Settings.ECHO))
            throw new IllegalStateException("start: " + settings.store() + " is in use by a server at " + url
                + " with the engine echo; end that one or choose another store");
        return url;
    }

    private static boolean isEcho(String url) {
        var http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(GLANCE).build();
        var request = HttpRequest.newBuilder(URI.create(url + "/models")).timeout(GLANCE).build();
        try {
            return http.send(request, HttpResponse.BodyHandlers.discarding()).headers().firstValue("x-sheaf-engine")
                .filter(Settings.ECHO::equals).isPresent();
        } catch (IOException silent) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** Ends the server once no other process needs it, or only leaves it where another runs it. */
    @Override public void close() {
        if (service.isEmpty()) {
            guests.close();
            return;
        }
        var server = service.get();
        try (var none = Guests.awaitNone(store, () -> System.err.println("close: another run still uses " + baseUrl
                + ", and this one waits for it; Ctrl-C ends both"))) {
            server.close();
        }
    }
}
