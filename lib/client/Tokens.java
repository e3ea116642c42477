package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import com.knuddels.jtokkit.Encodings;
import com.knuddels.jtokkit.api.EncodingRegistry;
import com.knuddels.jtokkit.api.EncodingType;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import java.util.function.ToLongFunction;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * How many tokens requests have, as a tokenizer of OpenAI's splits them: its own models exactly, others as an estimate;
 * or by their length alone, for who has no half a second until an encoding is loaded. It knows no price.
 */
final class Tokens {
    /** Around a message besides its role and name, and before an answer: OpenAI's cookbook, "How to count tokens". */
    private static final int AROUND = 3;
    private static final long MOST_AROUND = 32;           // in any model's template of a chat
    /** Where a request has texts that the model reads. */
    private static final Set<String> READ = Set.of("messages", "input", "prompt", "instructions", "tools", "functions",
        "response_format", "text", "tool_choice");
    /** Parts of a message that are no text: what they cost only their provider knows. */
    private static final String NO_TEXT = "(input_)?(image|image_url|audio|file|video|video_url)";
    private static final Set<String> UNANSWERED = Set.of("/embeddings", "/moderations");
    private static final int PIECE = 256;                 // requests
    private final EncodingType type;                      // null: by length
    private final boolean isKnown;                        // else it is assumed

    /** Loads what is asked for, and itself no sooner. */
    private static final class Tokenizer {
        private static final EncodingRegistry ENCODINGS = Encodings.newLazyEncodingRegistry();
    }

    private Tokens(EncodingType type, boolean isKnown) {
        this.type = type;
        this.isKnown = isKnown;
    }

    /** Returns the tokens of a model, as it splits texts; those of one that nobody knows as GPT-4o would. */
    static Tokens of(String model) {
        if (model.matches("(ft:)?(gpt-4o|gpt-4\\.1|gpt-4\\.5|gpt-5|o[134]|chatgpt-4o).*|(openai/)?gpt-oss-.*"))
            return new Tokens(EncodingType.O200K_BASE, true);
        if (model.matches("(ft:)?(gpt-4|gpt-3\\.5)(-.*)?|text-embedding-(3-.*|ada-002)"))
            return new Tokens(EncodingType.CL100K_BASE, true);
        return new Tokens(EncodingType.O200K_BASE, false);
    }

    /** Four ASCII characters are a token, or one of any other script. */
    static Tokens byLength() { return new Tokens(null, false); }

    String encoding() { return type == null ? "four characters each" : type.getName(); }

    private long count(String text) {
        if (type != null) return Tokenizer.ENCODINGS.getEncoding(type).countTokensOrdinary(text);
        long others = text.codePoints().filter(character -> character > 127).count();
        return (text.codePointCount(0, text.length()) - others + 3) / 4 + others;
    }

    /** Whether the model is known to split texts so. */
    boolean isKnown() { return isKnown; }

    /** Counts what requests have that are wanted, by model, in the order of the first of each; on several threads. */
    static Map<String, Count> byModel(long requests, LongPredicate isWanted, LongFunction<String> line) {
        return byModel(requests, isWanted, line, Tokens::of, characters -> {});
    }

    /**
     * @param tokens those of a model
     * @param read told how many characters were counted
     */
    static Map<String, Count> byModel(long requests, LongPredicate isWanted, LongFunction<String> line,
                                      Function<String, Tokens> tokens, LongConsumer read) {
        var all = new Piece();
        var pieces = LongStream.iterate(0, from -> from < requests, from -> from + PIECE)
            .<Callable<Piece>>mapToObj(from -> () -> new Piece().of(
                LongStream.range(from, Math.min(requests, from + PIECE)).filter(isWanted).mapToObj(line), tokens));
        Pieces.inOrder(pieces.iterator(), piece -> {
            all.add(piece);
            read.accept(all.length);
        });
        return all.counts;
    }

    private static final class Piece {
        private final Map<String, Count> counts = new LinkedHashMap<>();
        private long length;

        Piece of(Stream<String> lines, Function<String, Tokens> tokens) {
            lines.forEach(text -> {
                var line = Json.lenient(text);
                var model = line.at("/body/model").asText();
                counts.merge(model, tokens.apply(model).count(line), Count::plus);
                length += text.length();
            });
            return this;
        }

        void add(Piece other) {
            other.counts.forEach((model, count) -> counts.merge(model, count, Count::plus));
            length += other.length;
        }
    }

    /** Counts what a request sends, and the most that its answer may have. */
    Count count(JsonNode line) {
        var body = line.path("body");
        var counting = new Counting(this::count);
        body.properties().stream().filter(field -> READ.contains(field.getKey()))
            .forEach(field -> counting.read(field.getValue()));
        if (body.has("messages")) counting.tokens += AROUND;
        if (isReadElsewhere(body)) counting.parts++;
        long most = isKnown ? counting.tokens : counting.bytes + MOST_AROUND * (1 + counting.messages);
        long limit = limit(body);
        boolean isAnswered = !UNANSWERED.contains(Settings.route(line.path("url").asText()));
        boolean isUnlimited = isAnswered && limit == 0;
        long mostOutput = isAnswered ? limit * answers(body) : 0;
        return new Count(1, counting.tokens, most, mostOutput, isUnlimited ? 1 : 0, counting.parts);
    }

    /** What the provider keeps, and tools that it runs itself, bring tokens that are in no request. */
    private static boolean isReadElsewhere(JsonNode body) {
        boolean isKept = Stream.of("previous_response_id", "conversation").anyMatch(body::hasNonNull)
            || body.path("prompt").has("id");
        return isKept || body.path("tools").valueStream().anyMatch(tool ->
            !tool.path("type").asText("function").matches("function|custom"));
    }

    private static long limit(JsonNode body) {
        return Requests.LIMITS.stream().mapToLong(field -> body.path(field).asLong()).filter(limit -> limit > 0).max()
            .orElse(0);
    }

    private static long answers(JsonNode body) {
        return Stream.of("n", "best_of").mapToLong(field -> body.path(field).asLong()).filter(n -> n > 0).max()
            .orElse(1);
    }

    /**
     * What some requests have together.
     * @param input tokens of what they send, as counted
     * @param mostInput those that it may be in the eyes of any tokenizer: none makes more tokens of a text than bytes
     * @param mostOutput those that the answers may have, of requests with a limit
     * @param unlimited requests whose answer has no limit
     * @param uncounted parts that are no text, whose tokens are not among these
     */
    record Count(long requests, long input, long mostInput, long mostOutput, long unlimited, long uncounted) {
        static final Count NONE = new Count(0, 0, 0, 0, 0, 0);

        Count plus(Count other) {
            return new Count(requests + other.requests, input + other.input, mostInput + other.mostInput,
                mostOutput + other.mostOutput, unlimited + other.unlimited, uncounted + other.uncounted);
        }
    }

    /** Reads the texts of a request. */
    private static final class Counting {
        private final ToLongFunction<String> encoding;
        private long tokens;
        private long bytes;
        private long messages;
        private long parts;                               // that are no text

        Counting(ToLongFunction<String> encoding) { this.encoding = encoding; }

        void read(JsonNode node) {
            if (node.isArray()) node.forEach(this::read);
            else if (node.isObject()) readObject(node);
            else if (node.isTextual()) add(node.asText());
            else if (!node.isNull()) add(1, 1);           // a number among an input is a token
        }

        private void readObject(JsonNode object) {
            var kind = object.path("type").asText();
            if (kind.matches(NO_TEXT)) {
                parts++;
                return;
            }
            boolean isSchema = kind.matches("function|json_schema|object");
            if (isSchema) add(object.toString());
            else object.properties().stream().filter(field -> !field.getKey().equals("type"))
                .forEach(field -> read(field.getValue()));
            if (!object.has("role")) return;
            messages++;
            tokens += AROUND + (object.has("name") ? 1 : 0);
        }

        private void add(String text) {
            add(encoding.applyAsLong(text), text.getBytes(StandardCharsets.UTF_8).length);
        }

        private void add(long moreTokens, long moreBytes) {
            tokens += moreTokens;
            bytes += moreBytes;
        }
    }
}
