package sheaf.model;

import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import java.util.List;

/**
 * One run of the model, read token by token: llama.cpp's binding tells neither how many tokens there were nor why the
 * run ended. It does not know the request.
 */
final class Generation {
    private final LlamaModel llama;
    private final int limit;   // tokens
    private final List<String> stops;
    private final StringBuilder text = new StringBuilder();
    private int tokens;
    private boolean ended;     // by the model or by a stop text, not by the limit

    Generation(LlamaModel llama, int limit, List<String> stops) {
        this.llama = llama;
        this.limit = limit;
        this.stops = stops;
    }

    /** What came of a run. */
    record Answer(String text, int promptTokens, int completionTokens, String finishReason) {
        boolean isComplete() { return finishReason.equals("stop"); }
    }

    /** Collects the text until the model ends it, a stop text appears, or the limit is reached. */
    void run(InferenceParameters parameters) {
        var pieces = llama.generate(parameters).iterator();
        while (pieces.hasNext()) {
            var piece = pieces.next();
            if (pieces.hasNext()) add(piece.text);   // the last one only closes the stream
            if (stopped(piece.text)) pieces.cancel();
        }
    }

    /** Takes in a token; one without text is the one that ends a turn. */
    private void add(String piece) {
        ended = piece.isEmpty();
        tokens += count(piece);
        text.append(piece);
    }

    /** A piece is one token, or a character whose bytes are spread over several. */
    private int count(String piece) {
        boolean ascii = piece.chars().allMatch(c -> c < 128);
        return ascii ? 1 : Math.max(1, llama.encode(piece).length);
    }

    /** Ends the text before a stop text, if the latest piece has completed one. */
    private boolean stopped(String piece) {
        for (var stop : stops) {
            int at = text.indexOf(stop, Math.max(0, text.length() - piece.length() - stop.length()));
            if (at < 0) continue;
            text.setLength(at);
            ended = true;
            return true;
        }
        return false;
    }

    Answer answer(int promptTokens) {
        return ended ? new Answer(text.toString(), promptTokens, Math.min(tokens, limit), "stop")
            : new Answer(text.toString(), promptTokens, limit, "length");
    }
}
