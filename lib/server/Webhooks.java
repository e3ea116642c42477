package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.GeneralSecurityException;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Tells a URL that a batch is over. An event is stored together with the status that it tells of, and stays until the
 * receiver has answered 2xx, so that it arrives at least once; a repeated one has the same webhook-id. One thread sends
 * all events, and no batch waits for it. It knows nothing of a batch but its id and its status.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/webhook-events">Webhook events</a>
 * @see <a href="https://www.standardwebhooks.com">Standard Webhooks, which say how to sign and to repeat</a>
 */
final class Webhooks {
    private static final Duration TIMEOUT = Duration.ofSeconds(15);              // of the receiver
    private static final long LONGEST_PAUSE = Duration.ofHours(1).toSeconds();   // doubles from 1 s with each try
    private static final long PATIENCE = Duration.ofDays(3).toSeconds();         // from the event to its last try
    private static final Duration CLOSING = Duration.ofSeconds(1);               // that the sender has to end
    private static final long LOOK = Duration.ofSeconds(1).toNanos();            // at the clock, which may be set anew
    private static final String EVENTS = """
        CREATE TABLE IF NOT EXISTS event (
            id TEXT PRIMARY KEY,
            created_at INTEGER NOT NULL,
            due_at INTEGER NOT NULL,     -- when to send it, or to send it again
            tries INTEGER NOT NULL,
            json TEXT NOT NULL)""";
    private static final String BY_TIME = "CREATE INDEX IF NOT EXISTS event_due ON event (due_at, created_at)";

    private record Event(String id, long createdAt, long dueAt, int tries, String json) {
        private static Event read(ResultSet row) throws SQLException {
            return new Event(row.getString("id"), row.getLong("created_at"), row.getLong("due_at"),
                row.getInt("tries"), row.getString("json"));
        }

        private long pause() { return Math.min(LONGEST_PAUSE, 1L << Math.min(tries, 30)); }
    }

    private final HttpClient http = Network.client(TIMEOUT)
        .followRedirects(HttpClient.Redirect.NEVER).build();
    private final Thread sender = new Thread(this::sendAll, "sheaf-webhook");
    private final Settings.Webhook webhook;
    private final Store store;
    private final Database database;
    private volatile boolean closing;

    Webhooks(Settings.Webhook webhook, Store store) {
        this.webhook = webhook;
        this.store = store;
        this.database = store.database;
        database.execute(EVENTS);
        database.execute(BY_TIME);
        store.onUpdate(this::record);
        sender.setDaemon(true);
    }

    void start() { sender.start(); }

    /** Stores the event of a batch that is over, in the transaction that stores its status. */
    private void record(ObjectNode batch) {
        var status = batch.get("status").textValue();
        if (!BatchObject.OVER.contains(status)) return;
        var id = Json.newId("evt_");
        var event = Json.object().put("id", id).put("object", "event").put("type", "batch." + status)
            .put("created_at", store.now());
        event.putObject("data").set("id", batch.get("id"));
        database.execute("INSERT INTO event VALUES (?, ?, ?, 0, ?)", id, store.now(), store.now(), event.toString());
        LockSupport.unpark(sender);
    }

    private void sendAll() {
        while (!closing)
            try {
                sendNext();
            } catch (InterruptedException e) {
                return;
            } catch (RuntimeException storeFails) {   // as on a full disk, which may pass
                LockSupport.parkNanos(LOOK);
            }
    }

    private void sendNext() throws InterruptedException {
        var next = next();
        if (next.isEmpty())
            LockSupport.park();
        else if (next.get().dueAt > store.now())
            LockSupport.parkNanos(LOOK);
        else
            send(next.get());
    }

    /** Returns the event that is due first; woken amid the change that stores one, it waits until that is whole. */
    private Optional<Event> next() {
        synchronized (database) {
            return database.select("SELECT * FROM event ORDER BY due_at, created_at LIMIT 1", Event::read)
                .stream().findFirst();
        }
    }

    private void send(Event event) throws InterruptedException {
        if (isTaken(event) || store.now() - event.createdAt >= PATIENCE)
            database.execute("DELETE FROM event WHERE id = ?", event.id);
        else
            database.execute("UPDATE event SET tries = tries + 1, due_at = ? WHERE id = ?",
                store.now() + event.pause(), event.id);
    }

    private boolean isTaken(Event event) throws InterruptedException {
        var sent = http.sendAsync(request(event), HttpResponse.BodyHandlers.discarding());
        try {
            int status = sent.get(TIMEOUT.toMillis(), MILLISECONDS).statusCode();
            return status >= 200 && status < 300;
        } catch (TimeoutException | ExecutionException notTaken) {
            return false;
        } finally {
            sent.cancel(true);
        }
    }

    private HttpRequest request(Event event) {
        var time = String.valueOf(Instant.now().getEpochSecond());   // the receiver compares it with its own clock
        return Network.request(webhook.url()).header("Content-Type", "application/json")
            .header("webhook-id", event.id).header("webhook-timestamp", time)
            .header("webhook-signature", "v1," + signature(event.id + "." + time + "." + event.json))
            .POST(HttpRequest.BodyPublishers.ofString(event.json)).build();
    }

    private String signature(String signed) {
        try {
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(webhook.key(), "HmacSHA256"));
            return Base64.getEncoder().encodeToString(mac.doFinal(signed.getBytes(UTF_8)));
        } catch (GeneralSecurityException impossible) {   // every Java platform has HmacSHA256
            throw new AssertionError(impossible);
        }
    }

    void close() {
        closing = true;
        sender.interrupt();
        try {
            sender.join(CLOSING.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
