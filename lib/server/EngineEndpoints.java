package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import org.eclipse.jetty.http.HttpHeader;
import sheaf.server.Concurrency.Permits;
import sheaf.server.Engine.Answer;
import sheaf.server.Json.Lines;

/**
 * What goes to the engine at once, past any batch: the list of its models, and single requests, each a method. It knows
 * nothing of how the engine comes to its answers.
 */
final class EngineEndpoints {
    private static final int MAX_PASSED = 32;         // requests at once; the other HTTP threads stay free
    private static final int MAX_HELD = 64;           // megabytes of their bodies
    private static final int MEGABYTE = 1024 * 1024;

    private final Permits passing = new Permits(MAX_PASSED);
    private final Permits held = new Permits(MAX_HELD);
    private final Engine engine;
    private final Identity identity;

    EngineEndpoints(Engine engine, Identity identity) {
        this.engine = engine;
        this.identity = identity;
    }

    void listModels(Call call) throws IOException, InterruptedException {
        var models = models(call);
        if (models.succeeded()) ((ObjectNode) models.body()).set("server", identity.json());
        send(models, call);
    }

    private Answer models(Call call) throws IOException, InterruptedException {
        return passing.with(1, () -> {
            allowSilence(call);
            return engine.models();
        });
    }

    void retrieveModel(Call call) throws IOException, InterruptedException {
        var models = models(call);
        if (!models.succeeded()) {
            send(models, call);
            return;
        }
        call.send(models.body().path("data").valueStream()
            .filter(model -> model.path("id").asText().equals(call.id())).findFirst()
            .orElseThrow(() -> Refusal.unknownModel(call.id())));
    }

    /** Passes a request on to the engine; a body of unknown length counts as one of the greatest. */
    void pass(Call call) throws IOException, InterruptedException {
        long length = call.request().getLength();
        int megabytes = (int) Math.min(Lines.MAX_BYTES, Math.max(0, length)) / MEGABYTE + 1;
        int most = length < 0 ? Lines.MAX_BYTES / MEGABYTE : megabytes;
        send(passing.with(1, () -> held.with(most, () -> answer(call))), call);
    }

    private Answer answer(Call call) throws IOException, InterruptedException {
        var body = call.object(call.body(Lines.MAX_BYTES));
        var stream = body.path("stream");
        if (!Json.isAbsent(stream) && !stream.isBoolean())
            throw Refusal.wrongType("stream", "a boolean", stream);
        if (stream.asBoolean())
            throw Refusal.invalid("stream", "streaming_unsupported", "Streaming is not supported by this server.");
        if (call.id() != null && !body.hasNonNull("model")) body.put("model", call.id());    // a deployment
        allowSilence(call);
        return engine.answer(call.path().replaceFirst("^/v1/deployments/[^/]+", "/v1").replaceFirst("/$", ""), body);
    }

    /** Lets the connection be silent while the engine thinks. */
    private static void allowSilence(Call call) { call.request().addIdleTimeoutListener(late -> false); }

    /** Sends what the engine answered, or that it gave no answer. */
    private static void send(Answer answer, Call call) {
        if (answer.retryAfterMillis() >= 0)
            call.response().getHeaders().put(HttpHeader.RETRY_AFTER, (answer.retryAfterMillis() + 999) / 1000);
        if (answer.status() > 0) {
            call.send(answer.status(), answer.body());
            return;
        }
        call.response().getHeaders().put("x-should-retry", "false");       // what helps was tried here already
        call.send(502, Refusal.envelope(502, answer.message(), null, answer.code()));
    }
}
