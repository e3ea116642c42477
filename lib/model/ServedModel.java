package sheaf.model;

import java.net.URI;

/**
 * A model that answers at a URL: of a server that somebody runs, or of an engine that this process starts.
 * It does not know who asks it.
 */
record ServedModel(String baseUrl, String model, String description, Runnable end) implements AutoCloseable {
    /** Returns when the model can be asked: at a URL what answers there, else what is started from weights. */
    static ServedModel of(String model, int slots, int contextSize, int port) {
        return model.matches("https?://.*") ? at(model) : start(model, slots, contextSize, port);
    }

    private static ServedModel at(String url) {
        var trimmed = url.replaceAll("/+$", "");
        var baseUrl = URI.create(trimmed).getPath().isEmpty() ? trimmed + "/v1" : trimmed;
        var model = Client.firstModel(baseUrl);
        return new ServedModel(baseUrl, model, model + " at " + baseUrl, () -> { });
    }

    private static ServedModel start(String nameOrFile, int slots, int contextSize, int port) {
        var weights = Weights.of(nameOrFile);
        var engine = Engine.find(weights, slots, contextSize);
        var front = Front.open(weights.name(), slots, port, engine);
        return new ServedModel(front.baseUrl(), weights.name(), weights + " on " + engine.name(), front::close);
    }

    @Override public void close() { end.run(); }
}
