package sheaf.server;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The one server of a store, for all that need it at the same time: the first process runs it, the others are its
 * guests, and it ends with the last handle of the last of them. It serves nothing itself.
 */
final class SharedService implements AutoCloseable {
    private static final Duration GLANCE = Duration.ofSeconds(3);
    private static final Map<Path, Use> HERE = new HashMap<>();      // of this JVM, by store

    /** What this JVM has of a server, for as long as there are handles. */
    private static final class Use {
        private final Path store;
        private final Optional<Service> service;     // none if another process runs it
        private final String baseUrl;
        private final Guests guests;                 // that this process is one of; null if it runs the server
        private int handles;                         // guarded by HERE

        private Use(Path store, Optional<Service> service, String baseUrl, Guests guests) {
            this.store = store;
            this.service = service;
            this.baseUrl = baseUrl;
            this.guests = guests;
        }
    }

    final String baseUrl;
    final Optional<Service> service;     // none if another process runs it
    private final Use use;
    private boolean isClosed;            // guarded by HERE

    private SharedService(Use use) {
        this.use = use;
        this.baseUrl = use.baseUrl;
        this.service = use.service;
        use.handles++;
    }

    /** Starts the server of a store, or joins the one that runs here or in another process. */
    static SharedService open(Settings settings) {
        synchronized (HERE) {
            return new SharedService(HERE.computeIfAbsent(settings.store(), store -> use(settings)));
        }
    }

    private static Use use(Settings settings) {
        var guests = Guests.join(settings.store());
        try {
            var service = Service.startIfFree(settings);
            var url = service.map(Service::baseUrl).orElseGet(() -> running(settings));
            if (service.isPresent()) guests.close();
            return new Use(settings.store(), service, url, service.isPresent() ? null : guests);
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
                + " with the engine echo; end that server and run again");
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

    /** Ends the server once nobody needs it any more, or only leaves it where another process runs it. */
    @Override public void close() {
        synchronized (HERE) {
            if (isClosed) return;
            isClosed = true;
            if (--use.handles > 0) return;
            if (use.guests != null) {
                HERE.remove(use.store, use);
                use.guests.close();
                return;
            }
        }
        try (var none = Guests.awaitNone(use.store, this::isLast, () -> System.err.println("close: another run still "
                + "uses " + baseUrl + ", and this one waits for it; Ctrl-C ends both"))) {
            end();
        }
    }

    /** Returns whether the server's end is still to be waited for, while it may be needed here once more. */
    private boolean isLast() {
        synchronized (HERE) {
            return use.handles == 0 && !Thread.currentThread().isInterrupted();
        }
    }

    private void end() {
        synchronized (HERE) {
            if (use.handles > 0 || !HERE.remove(use.store, use)) return;
            use.service.ifPresent(Service::close);
        }
    }
}
