package sheaf;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.Optional;
import java.util.Set;
import sheaf.Vocabulary.Usage;

/**
 * An answer as nearly all are: one choice of a chat, with a text, that was whole or cut, and has no error. It is read
 * without a tree, and so several times as fast; a line that says anything else, or says it otherwise, is none.
 */
final class PlainAnswer {
    private static final Set<String> ENDINGS = Set.of("stop", "length");
    private final byte[] line;
    private final JsonParser json;
    private int status;
    private String model = "";
    private String text;                                  // null: none yet
    private String ending;                                // null: none yet, or another
    private long created;                                 // as the provider counts time; 0: it does not say
    private long input, output, cached, reasoning;        // tokens

    private interface Field {
        /** Reads the value that the parser stands at; returns false if no plain answer has it. */
        boolean isPlain(String name) throws IOException;
    }

    private PlainAnswer(byte[] line, JsonParser json) {
        this.line = line;
        this.json = json;
    }

    static Optional<PlainAnswer> read(byte[] line) {
        try (var json = Json.MAPPER.createParser(line)) {
            var answer = new PlainAnswer(line, json);
            json.nextToken();
            boolean isPlain = answer.fields(answer::ofLine) && json.nextToken() == null;
            return isPlain && answer.status == 200 && answer.text != null && answer.ending != null ? Optional.of(answer)
                : Optional.empty();
        } catch (IOException other) {
            return Optional.empty();
        }
    }

    private boolean fields(Field field) throws IOException {
        if (!json.hasToken(JsonToken.START_OBJECT)) return false;
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            var name = json.currentName();
            json.nextToken();
            if (!field.isPlain(name)) return false;
        }
        return true;
    }

    private boolean ofLine(String name) throws IOException {
        return switch (name) {
            case "response" -> {
                status = 0;                               // of a field that stands there twice the last one counts
                yield isOfNewBody() && fields(this::ofResponse);
            }
            case "error" -> isNull();
            default -> isPassedOver();
        };
    }

    private boolean isOfNewBody() {
        model = "";
        created = 0;
        return isOfNewChoice() && isOfNewUsage();
    }

    private boolean isOfNewUsage() {
        input = output = cached = reasoning = 0;
        return true;
    }

    private boolean isOfNewChoice() {
        text = null;
        ending = null;
        return true;
    }

    private boolean ofResponse(String name) throws IOException {
        return switch (name) {
            case "status_code" -> {
                status = json.hasToken(JsonToken.VALUE_NUMBER_INT) ? json.getIntValue() : 0;
                yield status == 200;
            }
            case "body" -> isOfNewBody() && fields(this::ofBody);
            default -> isPassedOver();
        };
    }

    private boolean ofBody(String name) throws IOException {
        return switch (name) {
            case "choices" -> isOfNewChoice() && json.hasToken(JsonToken.START_ARRAY)
                && json.nextToken() == JsonToken.START_OBJECT && fields(this::ofChoice)
                && json.nextToken() == JsonToken.END_ARRAY;
            case "model" -> {
                model = json.getText().strip();
                yield json.hasToken(JsonToken.VALUE_STRING);
            }
            case "created" -> {
                boolean isNumber = json.currentToken().isNumeric();
                created = isNumber ? json.getLongValue() : 0;
                yield isNumber || isNull();
            }
            case "usage" -> isOfNewUsage() && (isNull() || fields(this::ofUsage));
            case "error" -> isNull();
            case "object", "type" -> json.hasToken(JsonToken.VALUE_STRING) && !json.getText().equals("error");
            case "output" -> false;
            default -> isPassedOver();
        };
    }

    private boolean ofChoice(String name) throws IOException {
        return switch (name) {
            case "message" -> {
                text = null;
                yield fields(this::ofMessage);
            }
            case "finish_reason" -> {
                ending = json.getText();
                yield json.hasToken(JsonToken.VALUE_STRING) && ENDINGS.contains(ending);
            }
            case "error" -> isNull();
            default -> isPassedOver();
        };
    }

    /** What stands beside a text may say something, unless it is nothing. */
    private boolean ofMessage(String name) throws IOException {
        return switch (name) {
            case "content" -> {
                text = json.getText();
                yield json.hasToken(JsonToken.VALUE_STRING);
            }
            case "role" -> isPassedOver();
            default -> isNull() || json.hasToken(JsonToken.START_ARRAY) && json.nextToken() == JsonToken.END_ARRAY;
        };
    }

    private boolean ofUsage(String name) throws IOException {
        return switch (name) {
            case "prompt_tokens" -> (input = tokens()) >= 0;
            case "completion_tokens" -> (output = tokens()) >= 0;
            case "prompt_tokens_details" -> {
                cached = 0;
                yield isNull() || fields(detail -> !detail.equals("cached_tokens") ? isPassedOver()
                    : (cached = tokens()) >= 0);
            }
            case "completion_tokens_details" -> {
                reasoning = 0;
                yield isNull() || fields(detail -> !detail.equals("reasoning_tokens") ? isPassedOver()
                    : (reasoning = tokens()) >= 0);
            }
            case "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details" -> isNull();
            default -> isPassedOver();                    // some say here how long it took
        };
    }

    /** Returns a number of tokens; -1 if it is none. */
    private int tokens() throws IOException {
        if (!json.hasToken(JsonToken.VALUE_NUMBER_INT)) return -1;
        return json.getNumberType() == JsonParser.NumberType.INT ? json.getIntValue() : -1;
    }

    private boolean isNull() { return json.hasToken(JsonToken.VALUE_NULL); }

    private boolean isPassedOver() throws IOException {
        json.skipChildren();
        return true;
    }

    String model() { return model; }

    String text() { return text; }

    String ending() { return ending; }

    long created() { return created; }

    Usage usage() { return new Usage(input, output, cached, reasoning); }

    /** Returns the whole line. */
    JsonNode whole() { return Json.lenient(line); }
}
