package sheaf.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import de.kherud.llama.ModelParameters;
import de.kherud.llama.Pair;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;

/**
 * The program of a worker JVM: llama.cpp behind a port that only this machine reaches. It does not know its parent
 * beyond what the two agree on:
 * <ol>
 * <li>The parent runs this class with three arguments: the file of the weights, the slots, the tokens in a slot.
 * <li>Once the worker can answer it prints a line that ends in {@code sheaf: ready on port 40123}. All else that it
 *     prints, on either stream, is for people.
 * <li>On that port of the loopback it answers POST to the two paths of {@link Protocol}, in OpenAI's JSON.
 * <li>If it cannot start, it prints why and ends with exit code 1.
 * <li>The parent writes nothing to the worker's standard input. The end of that input means that the parent has ended,
 *     however it did, and the worker ends at once with exit code 0.
 * <li>The parent ends a worker by killing it: there is nothing to save.
 * </ol>
 */
final class Worker {
    private final LlamaModel llama;
    private final Optional<ChatTemplate> template;
    private final int slots;
    private final int context;       // tokens in a slot
    private final int trained;       // tokens that the model was trained on at once
    private final int addedTokens;   // by the tokenizer, to each prompt

    /** The words of the agreement that both sides use. */
    static final class Protocol {
        static final String CHAT = "/v1/chat/completions";
        static final String COMPLETION = "/v1/completions";
        static final int COULD_NOT_START = 1;   // exit codes
        static final int PARENT_ENDED = 0;
        private static final String READY = "sheaf: ready on port ";

        private Protocol() { }

        /** Returns the line that says where the worker answers, after a break: llama.cpp may leave a line unended. */
        static String readyLine(int port) { return "\n" + READY + port; }

        /** Returns the port, if this is the line that says it. */
        static OptionalInt portIn(String line) {
            int at = line.indexOf(READY);
            return at < 0 ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(line.substring(at + READY.length())));
        }
    }

    /** What the parent tells a worker on its command line. */
    record Arguments(Path weights, int slots, int context) {
        static Arguments of(String... args) {
            return new Arguments(Path.of(args[0]), Integer.parseInt(args[1]), Integer.parseInt(args[2]));
        }

        List<String> toList() { return List.of(weights.toString(), "" + slots, "" + context); }
    }

    private Worker(Path weights, int slots, int context) {
        var header = Gguf.read(weights);
        this.template = ChatTemplate.of(header.text("tokenizer.chat_template"));
        this.slots = slots;
        this.context = context;
        this.trained = header.contextLength();
        this.addedTokens = header.addsBosToken() ? 1 : 0;
        this.llama = new LlamaModel(parameters(weights, slots, context));
        template.ifPresent(this::check);
    }

    /** Holds our rendering of a chat against that of the engine's Jinja, which ends the process where one raises. */
    private void check(ChatTemplate template) {
        var chat = List.of(new ChatTemplate.Message("user", "Hi"), new ChatTemplate.Message("assistant", "Yes?"),
            new ChatTemplate.Message("user", "Bye"));
        template.check(chat, llama.applyTemplate(new InferenceParameters("").setMessages(null,
            chat.stream().map(message -> new Pair<>(message.role(), message.content())).toList())));
    }

    public static void main(String[] args) {
        Machine.daemon(Worker::endWithParent).start();
        try {
            var arguments = Arguments.of(args);
            var worker = new Worker(arguments.weights(), arguments.slots(), arguments.context());
            System.out.println(Protocol.readyLine(worker.serve()));
        } catch (IOException | RuntimeException | LinkageError e) {
            System.err.println(e instanceof IllegalStateException ? e.getMessage() : e);
            Runtime.getRuntime().halt(Protocol.COULD_NOT_START);   // llama.cpp's threads would keep the process
        }
    }

    private static void endWithParent() {
        try {
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            System.err.println(e);
        }
        Runtime.getRuntime().halt(Protocol.PARENT_ENDED);
    }

    private static ModelParameters parameters(Path weights, int slots, int context) {
        int cores = Runtime.getRuntime().availableProcessors();
        return new ModelParameters()
            .setModel(weights.toString())
            .setParallel(slots)
            .setCtxSize(slots * context)
            .setThreads(Math.max(1, cores - 1))   // with all cores, one busy neighbour stalls every step
            .setThreadsBatch(cores)   // of prompts, and of several slots at once
            .enableFlashAttn()
            .enableJinja()
            .skipWarmup()   // seconds on a busy machine, and no gain: the first request does the same
            .disableContextShift();
    }

    private int serve() throws IOException {
        var server = Http.bind(0);
        Http.serve(server, Map.of(), this::answer);
        return server.getAddress().getPort();
    }

    private Http.Reply answer(Http.Call call) throws IOException {
        return switch (call.path()) {
            case Protocol.CHAT -> Http.Reply.ok(chat(CompletionRequest.of(call.body())));
            case Protocol.COMPLETION -> Http.Reply.ok(completion(CompletionRequest.of(call.body())));
            default -> throw Http.Refusal.notFound(call);
        };
    }

    private ObjectNode chat(CompletionRequest request) {
        var chat = template.orElseThrow(() -> Http.Refusal.invalid("messages", "the local model has no chat template,"
            + " so it was not taught to chat; send a 'prompt' to /v1/completions, or name an instruct model"));
        var prompt = chat.render(request.messages());
        var drawn = request.topLogprobs().flatMap(top -> draw(request, prompt));
        var answer = drawn.map(one -> one.answer(promptTokens(prompt))).orElseGet(() -> generate(request, prompt));
        if (request.wantsJson()) ResponseFormat.verify(answer.text(), answer.isComplete());
        var json = envelope("chatcmpl-", "chat.completion", request, answer);
        var choice = (ObjectNode) json.at("/choices/0");
        choice.putObject("message").put("role", "assistant").put("content", answer.text()).putNull("refusal");
        drawn.ifPresent(one -> choice.set("logprobs", one.logprobs(request.topLogprobs().orElse(0L))));
        return json;
    }

    /** Chooses one answer of all by how likely they are; empty if that cannot be told. */
    private Optional<Likelihood.Drawn> draw(CompletionRequest request, String prompt) {
        return Likelihood.of(new LogitGaps(llama, prompt), request.answers(), limit(request, promptTokens(prompt)))
            .map(likelihood -> likelihood.draw(request.temperature(), request.random()));
    }

    private ObjectNode completion(CompletionRequest request) {
        var answer = generate(request, request.prompt());
        var json = envelope("cmpl-", "text_completion", request, answer);
        ((ObjectNode) json.at("/choices/0")).put("text", answer.text());
        return json;
    }

    private static ObjectNode envelope(String prefix, String object, CompletionRequest request,
            Generation.Answer answer) {
        var json = JsonNodeFactory.instance.objectNode();
        json.put("id", prefix + UUID.randomUUID()).put("object", object)
            .put("created", Instant.now().getEpochSecond()).put("model", request.model());
        json.putArray("choices").addObject()
            .put("index", 0).putNull("logprobs").put("finish_reason", answer.finishReason());
        json.putObject("usage")
            .put("prompt_tokens", answer.promptTokens())
            .put("completion_tokens", answer.completionTokens())
            .put("total_tokens", answer.promptTokens() + answer.completionTokens());
        return json;
    }

    private Generation.Answer generate(CompletionRequest request, String prompt) {
        int promptTokens = promptTokens(prompt);
        int limit = limit(request, promptTokens);
        var generation = new Generation(llama, limit, request.stops());
        // in several slots the sums stand elsewhere each time, and no request can be repeated to the letter
        generation.run(request.sampling(prompt, limit, slots > 1 || !request.isRepeatable()));
        return generation.answer(promptTokens);
    }

    private int promptTokens(String prompt) { return llama.encode(prompt).length + addedTokens; }

    /** Returns how many tokens an answer may have. */
    private int limit(CompletionRequest request, int promptTokens) {
        int left = context - promptTokens - 1;   // llama.cpp keeps the last cell of a slot free
        if (left < 1)
            throw new Http.Refusal(400, "context_length_exceeded", request.promptField(), "This model's maximum context"
                + " length is " + context + " tokens, but the prompt alone has " + promptTokens + "; " + remedy());
        return (int) Math.min(request.maxTokens().orElse((long) left), left);
    }

    private String remedy() {
        if (context >= trained) return "shorten it, or take a model that was trained on more";
        return "start it with a larger --context, in Java contextSize"
            + (trained == Integer.MAX_VALUE ? "" : ", up to " + trained);
    }
}
