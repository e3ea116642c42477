package sheaf.server;

import java.io.IOException;
import sheaf.server.Engine.Answer;

/** What goes to the engine at once, past any batch: the list of its models, and single requests. */
final class EngineEndpoints {
    private static final int MAX_PASSED = 32;         // requests at once; the other HTTP threads stay free
    private static final int MAX_HELD = 64;           // megabytes of their bodies
    private static final int MEGABYTE = 1024 * 1024;

    private final Permits passing = new Permits(MAX_PASSED);
    private final Permits held = new Permits(MAX_HELD);
    private final Engine engine;

    EngineEndpoints(Engine engine) { this.engine = engine; }

    void listModels(Call call) throws IOException, InterruptedException { call.send(models(call)); }

    private Answer models(Call call) throws IOException, InterruptedException {
        return passing.with(1, () -> {
            call.waitForEngine();
            return engine.models();
        });
    }

    void retrieveModel(Call call) throws IOException, InterruptedException {
        var models = models(call);
        if (!models.succeeded()) {
            call.send(models);
            return;
        }
        call.send(models.body().path("data").valueStream()
            .filter(model -> model.path("id").asText().equals(call.id())).findFirst().orElseThrow(() ->
                new Refusal(404, "The model '" + call.id() + "' does not exist", "model", "model_not_found")));
    }

    void pass(Call call) throws IOException, InterruptedException {
        int megabytes = (int) Math.min(Lines.MAX_BYTES, Math.max(0, call.request().getLength())) / MEGABYTE + 1;
        int most = call.request().getLength() < 0 ? Lines.MAX_BYTES / MEGABYTE : megabytes;
        call.send(passing.with(1, () -> held.with(most, () -> {
            var body = call.object(call.body(Lines.MAX_BYTES));
            if (body.path("stream").asBoolean())
                throw Refusal.invalid("stream", "streaming_unsupported",
                    "Streaming is not supported by this server.");
            call.waitForEngine();
            return engine.answer(call.path().replaceFirst("/$", ""), body);
        })));
    }
}
