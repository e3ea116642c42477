package sheaf;

import static sheaf.Messages.count;
import static sheaf.Messages.number;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The words that the door and its rooms share: plain values in OpenAI's terms, which {@code Sheaf} passes on. */
public class Vocabulary {
    Vocabulary() {}

    /** Where a batch stands, in the provider's own word; one that OpenAI does not know counts as still going. */
    public record Status(String text) {
        public static final Status VALIDATING = new Status("validating");
        public static final Status FAILED = new Status("failed");
        public static final Status IN_PROGRESS = new Status("in_progress");
        public static final Status FINALIZING = new Status("finalizing");
        public static final Status COMPLETED = new Status("completed");
        public static final Status EXPIRED = new Status("expired");
        public static final Status CANCELLING = new Status("cancelling");
        public static final Status CANCELLED = new Status("cancelled");
        /** Of a part of which there is no batch yet: its queue has no room, or its file was only uploaded. */
        public static final Status WAITING = new Status("waiting");
        /** Of a batch whose files were uploaded and that was never submitted. */
        public static final Status UPLOADED = new Status("uploaded");
        private static final Set<Status> TERMINAL = Set.of(FAILED, COMPLETED, EXPIRED, CANCELLED);
        private static final Set<Status> KNOWN = Set.of(VALIDATING, FAILED, IN_PROGRESS, FINALIZING, COMPLETED, EXPIRED,
            CANCELLING, CANCELLED, WAITING);

        /** Some servers write COMPLETED, some one l in cancelled; what is neither stays as it is. */
        static Status of(String wire) {
            var known = new Status(wire.strip().toLowerCase(Locale.ROOT).replaceFirst("^cancel(ed|ing)$", "cancell$1"));
            return KNOWN.contains(known) ? known : new Status(wire.strip());
        }

        /** Returns whether nothing more will happen. */
        public boolean isTerminal() { return TERMINAL.contains(this); }

        @Override public String toString() { return text; }
    }

    /** How {@code toCsv} writes. */
    public enum CsvOption {
        /** A line for each row, where several prompts or models have a column each, as in the table. */
        WIDE,
        /** A byte order mark first, by which Excel knows UTF-8; Python's csv module takes it for a part of a name. */
        BOM,
        /** Cells as they are, also those that a spreadsheet takes for a formula: read back, they are the same. */
        FORMULAS,
        /** With the column {@code result.rawText}: whatever text came, also of an answer that is not whole. */
        RAW
    }

    /** How far a batch is, as its provider says. Progress only: the results are counted from the files. */
    public record RequestCounts(long total, long completed, long failed) {
        static RequestCounts of(JsonNode batch) {
            var counts = batch.path("request_counts");
            return new RequestCounts(counts.path("total").asLong(counts.isNumber() ? counts.asLong()
                : batch.path("total").asLong()),
                counts.path("completed").asLong(batch.path("completed").asLong()),
                counts.path("failed").asLong(batch.path("failed").asLong()));
        }

        /** While it validates, a provider knows no total. */
        RequestCounts of(long requests) {
            return new RequestCounts(Math.max(total, requests), completed, failed);
        }

        RequestCounts plus(RequestCounts other) {
            return new RequestCounts(total + other.total, completed + other.completed, failed + other.failed);
        }

        @Override public String toString() {
            return number(completed + failed) + "/" + number(total)
                + (failed == 0 ? "" : ", " + number(failed) + " failed");
        }
    }

    /**
     * One input file and the batch at the provider that runs it; a dataset larger than a provider takes in one file has
     * several. A file id is "" where there is none; {@code json} is all that the provider said.
     */
    public record Part(int number, String id, String inputFileId, String outputFileId, String errorFileId,
                       Status status, RequestCounts requestCounts, JsonNode json) {
        static Part of(int number, JsonNode batch) {
            return new Part(number, batch.path("id").asText(), id(batch, "input_file_id"), id(batch, "output_file_id"),
                id(batch, "error_file_id"), Status.of(batch.path("status").asText()), RequestCounts.of(batch), batch);
        }

        /** Null, absent and "" all mean that there is no file. */
        static String id(JsonNode batch, String field) {
            return batch.path(field).isTextual() ? batch.path(field).asText() : "";
        }

        /** Whether something of it runs or ran: what failed later has a file, or counts answers and names it late. */
        boolean hasRun() {
            return !status.equals(Status.FAILED) || !outputFileId.isEmpty() || !errorFileId.isEmpty()
                || requestCounts.completed() > 0;
        }

        /** The ids of all its files. */
        List<String> files() {
            return Stream.of(inputFileId, outputFileId, errorFileId).filter(id -> !id.isEmpty()).toList();
        }

        /**
         * Returns how many answers it says there are. What was cut short may count as failed what never ran, and has no
         * line for that.
         */
        long answerCount() {
            return requestCounts.completed() + (status.equals(Status.COMPLETED) ? requestCounts.failed() : 0);
        }

        /**
         * Whether it says that it is over, and not yet where its answers are: some providers name the file late. A part
         * that was run to its end has a file, whatever its counts say.
         */
        boolean lacksItsFiles() {
            boolean hasAnswers = status.equals(Status.COMPLETED) || answerCount() > 0;
            return status.isTerminal() && outputFileId.isEmpty() && errorFileId.isEmpty() && hasAnswers;
        }

        Part as(Status other) {
            return new Part(number, id, inputFileId, outputFileId, errorFileId, other, requestCounts, json);
        }

        boolean isWaiting() { return status.equals(Status.WAITING); }

        /** Whether the provider has it, and has not ended it. */
        boolean isGoing() { return !status.isTerminal() && !isWaiting(); }

        @Override public String toString() {
            return "Part[" + number + " " + id + " " + status + " " + requestCounts + "]";
        }
    }

    /** How one request ended; every request ends in exactly one of these. */
    public enum Outcome {
        /** An answer came, whole: a text, arguments of tools, an embedding or a verdict. */
        SUCCEEDED,
        /**
         * The request was refused or broke: an HTTP error, one inside of a response, a fault of the provider, or of the
         * input file.
         */
        ERRORED,
        /**
         * The answer does not fit what was asked for, holds no text, only reasoning, or ended in a word that nobody
         * knows: it may not be whole.
         */
        INVALID,
        /** The answer was cut at the token limit. */
        TRUNCATED,
        /** The model, or a filter in front of it, declined to answer. */
        REFUSED,
        /** The completion window closed first. */
        EXPIRED,
        /** The batch was cancelled first. */
        CANCELLED,
        /** The provider's files hold no line for it. */
        MISSING;

        /** Returns the name in lower case, as it stands in files and tables. */
        @Override public String toString() { return name().toLowerCase(Locale.ROOT); }
    }

    /**
     * Tokens, as the provider counted them. {@code cached} is part of {@code input}, {@code reasoning} of {@code
     * output}.
     */
    public record Usage(long input, long output, long cached, long reasoning) {
        static final Usage NONE = new Usage(0, 0, 0, 0);

        static Usage of(JsonNode usage) {
            return new Usage(first(usage, "prompt_tokens", "input_tokens"),
                first(usage, "completion_tokens", "output_tokens"),
                first(usage, "prompt_tokens_details", "input_tokens_details", "cached_tokens"),
                first(usage, "completion_tokens_details", "output_tokens_details", "reasoning_tokens"));
        }

        static long first(JsonNode usage, String one, String other) {
            return usage.path(one).asLong(usage.path(other).asLong());
        }

        static long first(JsonNode usage, String one, String other, String field) {
            return usage.path(one).path(field).asLong(usage.path(other).path(field).asLong());
        }

        Usage plus(Usage other) {
            return new Usage(input + other.input, output + other.output, cached + other.cached,
                reasoning + other.reasoning);
        }

        /** Returns input and output together. */
        public long total() { return input + output; }

        /** A provider that tells no tokens has not asked for none. */
        @Override public String toString() {
            return total() == 0 ? "no tokens counted" : String.format(Locale.ROOT, "%,d tokens in, %,d out", input,
                output);
        }
    }

    /** Returns how much of a draft this provider is asked, by its name or base URL: a part of 1. */
    public static ProviderShare share(String provider, double part) {
        return new ProviderShare(Messages.given("share", provider), part, null);
    }

    /**
     * How much of a draft a provider is asked.
     * @param provider a name or a base URL
     * @param part of 1
     * @param model its name for the model; null: the same
     */
    public record ProviderShare(String provider, double part, String model) {
        public ProviderShare {
            if (!(part > 0 && part <= 1))
                throw new IllegalArgumentException("share: " + Messages.plain(part) + " of " + provider
                    + " is no part of 1");
        }

        /** Returns the same share under this name for the model. */
        public ProviderShare model(String name) {
            return new ProviderShare(provider, part, Messages.given("model", name));
        }
    }

    /** What a provider takes: in one input file so many requests and bytes, in its queue so many batches and tokens. */
    public record Limits(long requests, long bytes, long batches, long tokens) {
        public Limits {
            if (Math.min(Math.min(requests, bytes), Math.min(batches, tokens)) < 1)
                throw new IllegalArgumentException("limits: each is at least 1");
        }

        /** Has no limits of the queue. */
        public Limits(long requests, long bytes) { this(requests, bytes, Long.MAX_VALUE, Long.MAX_VALUE); }

        @Override public String toString() {
            return "Limits[" + (requests == Long.MAX_VALUE ? "" : count(requests, "request") + " and ")
                + Messages.size(bytes) + " a file"
                + (batches == Long.MAX_VALUE ? "" : "; " + batches + (batches == 1 ? " batch" : " batches") + " queued")
                + (tokens == Long.MAX_VALUE ? "" : "; " + count(tokens, "token") + " queued") + "]";
        }
    }

    /**
     * What a provider does in its own way: whether one file may hold several models, what it calls the token limit,
     * where it takes an input file, and what it calls the purpose of one.
     * @param apiVersion that Azure asks for in each call, which then bears the key as {@code api-key}; "" for none
     * @param responseFormat whether it holds an answer to a schema in {@code response_format}; else the prompt asks
     */
    public record Dialect(boolean mixedModels, String maxTokensField, String uploadPath, String purpose,
                          String apiVersion, boolean responseFormat) {
        /** Has a {@code response_format}. */
        public Dialect(boolean mixedModels, String maxTokensField, String uploadPath, String purpose,
                       String apiVersion) {
            this(mixedModels, maxTokensField, uploadPath, purpose, apiVersion, true);
        }

        /** Has no versions. */
        public Dialect(boolean mixedModels, String maxTokensField, String uploadPath, String purpose) {
            this(mixedModels, maxTokensField, uploadPath, purpose, "");
        }

        /** Has OpenAI's {@code /files} and {@code batch}. */
        public Dialect(boolean mixedModels, String maxTokensField) {
            this(mixedModels, maxTokensField, "/files", "batch");
        }

        /** Those of a server of ours that stands in for this provider: what shapes requests stays. */
        Dialect served() {
            return new Dialect(mixedModels, maxTokensField, "/files", "batch", "", responseFormat);
        }

        Dialect apiVersion(String version) {
            return new Dialect(mixedModels, maxTokensField, uploadPath, purpose, version, responseFormat);
        }

        /** Returns a copy that has no {@code response_format}: what an answer is to be stands in the prompt. */
        public Dialect withoutResponseFormat() {
            return new Dialect(mixedModels, maxTokensField, uploadPath, purpose, apiVersion, false);
        }
    }

    /** With which number a script or a command ends. */
    public enum ExitCode {
        /** Every request has a whole answer, or what was asked for is done. */
        ANSWERED(0),
        /** The provider refused or could not be reached, or the batch failed. */
        FAILED(1),
        /** An option, a setting, the data or the key is at fault; nothing was sent. */
        MISUSED(2),
        /** Some requests have no whole answer. */
        UNANSWERED(3),
        /** The batch goes on; the same command comes back to it. sysexits.h calls this a temporary failure. */
        RUNNING(75);

        private final int number;

        ExitCode(int number) { this.number = number; }

        public int number() { return number; }

        /** Returns with which one an error ends a command that has sent something before, or not yet. */
        public static ExitCode of(Throwable error, boolean hasSent) {
            if (error instanceof StillRunningException) return RUNNING;
            boolean isMisuse = error instanceof IllegalArgumentException || error instanceof IllegalStateException;
            return isMisuse && !hasSent ? MISUSED : FAILED;
        }
    }

    /** A batch has not ended in the time that was given to it; it goes on. */
    public static final class StillRunningException extends IllegalStateException {
        StillRunningException(String message) { super(message); }
    }

    /** The provider refused, or the batch failed. */
    public static final class BatchException extends RuntimeException {
        static final String QUEUE_FULL = "token_limit_exceeded";
        static final Pattern NO_ROOM = Pattern.compile("(?i)enqueued token");
        private final int status;
        private final String code;
        private final String param;
        private final String batchId;
        private final Duration retryAfter;
        private final boolean explained;                      // by the provider's own words

        BatchException(String message, String code, String batchId) { this(message, 0, code, batchId); }

        BatchException(String message, int status, String code, String batchId) {
            this(message, null, status, code, "", batchId, Duration.ZERO, false);
        }

        BatchException(String message, BatchException cause) {
            this(message, cause, cause.status, cause.code, cause.param, cause.batchId, cause.retryAfter,
                cause.explained);
        }

        /** A call that was refused; a cause that says what must not be said is left out. */
        BatchException(String message, int status, String code, String param, Duration retryAfter, boolean explained,
                       Throwable cause) {
            this(message, cause, status, code, param, "", retryAfter, explained);
        }

        private BatchException(String message, Throwable cause, int status, String code, String param, String batchId,
                               Duration retryAfter, boolean explained) {
            super(message, cause);
            this.status = status;
            this.code = code;
            this.param = param;
            this.batchId = batchId;
            this.retryAfter = retryAfter;
            this.explained = explained;
        }

        /** Whether the provider has no room for another batch now. */
        boolean isQueueFull() {
            return code.equals(QUEUE_FULL) || status == 429 && !isUnpaid()
                || status == 400 && NO_ROOM.matcher(getMessage()).find();
        }

        /** Whether the account is empty: no wait fills it. */
        boolean isUnpaid() { return status == 402 || code.equals("insufficient_quota"); }

        /** Whether something between here and the provider spoiled its answer. */
        boolean isGarbled() { return status >= 200 && status < 300; }

        /** Whether the provider read what it was sent and, for a reason that it gave, will not have it. */
        boolean isFinal() {
            return explained && (isUnpaid() || Set.of(400, 404, 413, 422).contains(status)) && !isQueueFull();
        }

        Duration retryAfter() { return retryAfter; }

        /** Returns the HTTP status of a refusal; else 0. */
        public int status() { return status; }

        /** Returns the provider's code, such as {@code model_not_found}; "" if it gave none. */
        public String code() { return code; }

        /** Returns the field at fault; "" if the provider named none. */
        public String param() { return param; }

        /** Returns the batch that failed; "" if it was a call that was refused. */
        public String batchId() { return batchId; }
    }}
