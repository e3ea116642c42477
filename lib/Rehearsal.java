//SOURCES Sheaf.java
//SOURCES BatchServer.java

package sheaf.rehearsal;

import java.util.ArrayList;
import java.util.List;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;

/**
 * The whole run of a draft before a cent is paid, at a server on this machine that invents the answers and has faults.
 *
 * <pre>{@code
 * Rehearsal.of(draft).show();
 * draft.submit().results().show();
 * }</pre>
 *
 * It takes the client and the server, which know nothing of each other. What goes wrong is what has gone wrong at
 * providers: an upload that is refused, a batch whose creation is never answered, looks that fail, a download that
 * breaks off, answers in another order, and one of seven that has expired.
 */
public final class Rehearsal implements AutoCloseable {
    private static final int MOST = 10_000_000;               // requests of a file, and below bytes: as any provider
    private static final long MOST_BYTES = 20_000_000_000L;
    private static final int EXPIRED = 7;                     // each so many-th answer, of the first batch
    private static final String EXPIRY =
        "{\"custom_id\":%s,\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":\"rehearsed\"}}";
    private final BatchServer server;

    private Rehearsal(BatchServer server) { this.server = server; }

    /** Returns what the whole run of a draft brings, with invented answers; nothing is sent to its provider. */
    public static Results of(Draft draft) {
        try (var rehearsal = start()) {
            return draft.rehearse(rehearsal.baseUrl());
        }
    }

    /** Starts a server with faults, for one run. */
    public static Rehearsal start() {
        var server = BatchServer.options().mixedModels().maxRequests(MOST).maxBytes(MOST_BYTES).start()
            .on("POST /v1/files", Fault.status(503))
            .on("POST /v1/batches", Fault.lost())
            .on("GET /v1/batches/*", Fault.status(500), Fault.dropped())
            .on("GET /v1/files/*/content", Fault.truncated(100))
            .shuffleOutput().rewrite(Rehearsal::expired);
        return new Rehearsal(server);
    }

    /** Where a draft is to be rehearsed. */
    public String baseUrl() { return server.baseUrl(); }

    /** A retry's answers are whole: its ids say that it is one. */
    private static List<String> expired(List<String> lines) {
        var all = new ArrayList<String>(lines);
        for (int i = EXPIRED - 1; i < all.size(); i += EXPIRED) {
            var id = all.get(i).replaceFirst("(?s).*?\"custom_id\":\\s*(\"[^\"]*\").*", "$1");
            if (!id.matches("\".*-r[0-9]+x*\"")) all.set(i, EXPIRY.formatted(id));
        }
        return all;
    }

    @Override public void close() { server.close(); }
}
