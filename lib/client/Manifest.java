package sheaf;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Prices.Price;
import sheaf.Vocabulary.Dialect;
import sheaf.Vocabulary.Limits;

/** What {@code draft.json} says of a batch that is kept: what was asked for, of whom, and how it was cut into parts. */
@JsonNaming(PropertyNamingStrategies.SnakeCaseStrategy.class)
@JsonInclude(JsonInclude.Include.NON_EMPTY)
record Manifest(
    int version,
    String name,
    String digest,                                        // of all that goes out, 64 hex digits
    Address provider,
    String endpoint,
    String completionWindow,                              // "" for one that was submitted elsewhere
    @JsonProperty("output_expires_after") Long outputSeconds,   // null: as the provider has it
    Map<String, String> metadata,                         // the user's pairs
    JsonNode settings,                                    // what shaped the requests, by word
    long requests,                                        // with those that were answered before
    long rows,                                            // 0: the requests were not made from rows
    @JsonProperty("cut") List<Long> partRequests,         // how many requests each part has
    @JsonProperty("tokens") List<Long> partTokens,        // as estimated
    long reused,                                          // requests that were answered before, and are not sent
    @JsonInclude(JsonInclude.Include.NON_DEFAULT) long repeats,   // whose answer is that of one before them
    @JsonProperty("sent") String sentDigest,              // of what is sent, where that is not all
    String rowsFile,                                      // without its ending
    boolean ownIds,                                       // request-1, request-2, ... on the wire
    @JsonProperty("again") boolean isResend,              // its requests were sent before, in another batch
    @JsonProperty("adopted") boolean isAdopted,           // it was submitted elsewhere
    @JsonProperty("again_of") String resendOf,            // the digest of the batch that was first sent
    @JsonProperty("again_as") String resendNames,         // names(); "": an earlier Sheaf wrote none
    @JsonProperty("shares") JsonNode sharedOut,           // other providers that were to have some of it from the start
    @JsonProperty("shared") List<Integer> partShares,     // of each part: 0 if it is the own provider's, else its share
    @JsonProperty("instead_of") String insteadOf,         // the digest of the batch whose requests are asked elsewhere
    @JsonProperty("instead_of_parts") List<Integer> insteadParts,     // those that its provider has not taken
    List<String> templates,                               // names, in the order of a row's requests
    int modelsPerRow,
    List<String> models,                                  // empty: each row names its own
    String customId,                                      // a template over the row; "": the id on the wire
    List<String> promptColumns,
    List<String> rowColumns,
    AnswerFormat format,                                  // null: an answer may be any text
    List<Double> price,                                   // dollars for a million tokens in, and out; empty: not given
    List<String> checks) {                                // why each of the script's own would find an answer invalid
    static final int VERSION = 1;
    /** The completion window of what was asked one by one, in no batch. */
    static final String AT_ONCE = "now";

    Manifest {
        endpoint = text(endpoint);
        completionWindow = text(completionWindow);
        metadata = metadata == null ? Map.of() : metadata;
        settings = settings == null ? MissingNode.getInstance() : settings;
        partRequests = list(partRequests);
        partTokens = list(partTokens);
        sentDigest = text(sentDigest);
        rowsFile = text(rowsFile);
        resendOf = text(resendOf);
        resendNames = text(resendNames);
        sharedOut = sharedOut == null || sharedOut.isEmpty() ? Json.MAPPER.createArrayNode() : sharedOut;
        partShares = list(partShares);
        insteadOf = text(insteadOf);
        insteadParts = list(insteadParts);
        templates = list(templates);
        modelsPerRow = Math.max(1, modelsPerRow);         // a folder of the first days has none
        models = list(models);
        customId = text(customId);
        promptColumns = list(promptColumns);
        rowColumns = list(rowColumns);
        price = list(price);
        checks = list(checks);
    }

    private static String text(String text) { return text == null ? "" : text; }

    private static <T> List<T> list(List<T> list) { return list == null ? List.of() : list; }

    /** Returns how many requests each row makes: one for each template and model. */
    int requestsPerRow() { return Math.max(1, templates.size()) * modelsPerRow; }

    /** Returns what tells the answers of a row apart, in their order: its template, its model or both; no two alike. */
    List<String> answerLabels() {
        var labels = new LinkedHashSet<String>();
        for (int i = 0; i < requestsPerRow(); i++) {
            var template = templates.isEmpty() ? "" : templates.get(i / modelsPerRow);
            var model = models.size() < 2 ? "" : models.get(i % modelsPerRow);
            var label = Stream.of(templates.size() > 1 || model.isEmpty() ? template : "", model)
                .filter(name -> !name.isEmpty()).collect(Collectors.joining(", "));
            labels.add(labels.contains(label) ? label + ", " + (i + 1) : label);
        }
        return List.copyOf(labels);
    }

    /** Whether it was asked one by one, at the price of that. */
    boolean isAtOnce() { return completionWindow.equals(AT_ONCE); }

    /** Returns what a model costs where this was sent, by the draft or by a table; empty if neither says. */
    Optional<Price> price(String model) {
        return price.size() == 2 ? Optional.of(Price.given(price.get(0), price.get(1)))
            : Prices.of(provider.name(), model);
    }

    /** Returns the digest of the batch in which these requests were first sent. */
    String origin() { return resendOf.isEmpty() ? digest : resendOf; }

    /** Returns the names that its requests were sent under: one more than that of the first batch for each given. */
    String names() {
        if (!isResend) return name;
        return resendNames.isEmpty() ? DefaultName.root(name) : resendNames;
    }

    /**
     * Whether it sends requests of another again. Those of a batch of another name are asked anew, though they are the
     * same. Of an earlier Sheaf's only the name tells whose it is, and nothing does if the user gave it that.
     */
    boolean isResendOf(Manifest other) {
        if (!isResend || !origin().equals(other.origin())) return false;
        if (!resendNames.isEmpty()) return (resendNames + "/").startsWith(other.names() + "/");
        return !name.endsWith("-retry") || name.equals(DefaultName.ofRetry(other.name));
    }

    boolean isSharedOut() { return !sharedOut.isEmpty(); }

    /** Returns who was to have some of it from the start, besides its own provider. */
    List<Share> shares() {
        return sharedOut.valueStream().map(share -> Json.MAPPER.convertValue(share, Share.class)).toList();
    }

    /** Returns whose a part is from the start; empty if it is the own provider's. */
    Optional<Share> shareOf(int part) {
        int share = partShares.isEmpty() ? 0 : partShares.get(part - 1);
        return share == 0 ? Optional.empty()
            : Optional.of(Json.MAPPER.convertValue(sharedOut.get(share - 1), Share.class));
    }

    /** Says that it keeps its shares, where a list has others. */
    Optional<String> sharesNote(List<Share> now) {
        return now.equals(shares()) ? Optional.empty() : Optional.of("providers: " + name + " was begun with "
            + (isSharedOut() ? "other" : "no") + " shares and keeps them; other shares are for new rows");
    }

    /** Whether it asks of its provider what that of another batch did not answer. */
    boolean isInstead() { return !insteadOf.isEmpty(); }

    String digestOfSent() { return sentDigest.isEmpty() ? digest : sentDigest; }

    /**
     * Who is to have some of the requests.
     * @param part of 1
     * @param model its name for the model; "": the same
     */
    record Share(Address provider, double part, String model) {
        /**
         * Returns what stands for a batch of it here, where none will ever be.
         * @param why there is none at its own provider either; "": nobody has said
         */
        JsonNode refusal(String why) {
            var batch = Json.MAPPER.createObjectNode().put("status", "failed");
            batch.putArray("errors").addObject().put("message", "shared out to " + provider.label()
                + (why.isEmpty() ? "" : " (" + why + ")"));
            return batch;
        }
    }

    /** Where it was submitted. No key ever enters it. */
    @JsonNaming(PropertyNamingStrategies.SnakeCaseStrategy.class)
    record Address(String name, String baseUrl, String keyVariable, long requests, long bytes, Long batches,
                   Long tokens, boolean mixedModels, String maxTokensField, String uploadPath, String purpose,
                   @JsonInclude(JsonInclude.Include.NON_EMPTY) String apiVersion,
                   @JsonInclude(JsonInclude.Include.NON_EMPTY) String store,
                   @JsonInclude(JsonInclude.Include.NON_EMPTY) String engine,
                   @JsonInclude(JsonInclude.Include.NON_NULL) Boolean responseFormat) {
        Address {
            apiVersion = text(apiVersion);                // that of the calls, and no part of who it is
            store = text(store);                          // no server has said, or none was asked in the first days
            engine = text(engine);
        }

        static Address of(Connection provider) {
            var limits = provider.limits();
            var dialect = provider.dialect();
            return new Address(provider.name(), provider.baseUrl(), provider.keyVariable(), limits.requests(),
                limits.bytes(), limits.batches(), limits.tokens(), dialect.mixedModels(), dialect.maxTokensField(),
                dialect.uploadPath(), dialect.purpose(), dialect.apiVersion(), provider.identity().store(),
                provider.identity().engine(), dialect.responseFormat() ? null : false);
        }

        /** Returns what messages call it. */
        String label() { return name.equals("local") ? BaseUrl.engine(baseUrl) : name; }

        /** Whether what it answers costs nothing. */
        boolean isFree() { return BaseUrl.isFree(baseUrl); }

        Identity identity() { return new Identity(store, engine); }

        /** Whether its files and batches are what this connection reaches, by what is known of that. */
        boolean isAt(Connection connection) {
            return identity().isTold() || connection.identity().isTold()
                ? identity().hasStoreOf(connection.identity())
                : name.equals(connection.name()) && baseUrl.equals(connection.baseUrl());
        }

        /** Whether what answers there is what answers at this connection. */
        boolean isAnsweredBy(Connection connection) {
            return isAt(connection) && engine.equals(connection.identity().engine());
        }

        /** A folder of the first days knows no limits of the queue. */
        Limits limits() {
            return new Limits(requests, bytes, batches == null ? Long.MAX_VALUE : batches,
                tokens == null ? Long.MAX_VALUE : tokens);
        }

        Dialect dialect() {
            return new Dialect(mixedModels, maxTokensField, uploadPath == null ? "/files" : uploadPath,
                purpose == null ? "batch" : purpose, apiVersion, responseFormat == null || responseFormat);
        }
    }
}
