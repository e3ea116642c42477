package sheaf.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import de.kherud.llama.LlamaModel;
import de.kherud.llama.ModelParameters;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Instant;
import java.util.UUID;

/** The program of a worker JVM: llama.cpp behind a port of the loopback. It knows its parent by the protocol only. */
final class Worker {
    private final LlamaModel llama;
    private final ChatTemplate template;
    private final int context;     // tokens in a slot
    private final int beginning;   // tokens that the tokenizer adds to a prompt

    private Worker(Path weights, int slots, int context) {
        var header = Gguf.read(weights);
        this.template = ChatTemplate.of(header.text("tokenizer.chat_template"));
        this.context = context;
        this.beginning = header.addsBeginning() ? 1 : 0;
        this.llama = new LlamaModel(parameters(weights, slots, context));
    }

    public static void main(String[] args) {
        Loopback.daemon(Worker::endWithParent).start();
        try {
            var told = WorkerProtocol.Arguments.of(args);
            var worker = new Worker(told.weights(), told.slots(), told.context());
            System.out.println(WorkerProtocol.readyLine(worker.serve()));
        } catch (IOException | RuntimeException | LinkageError e) {
            System.err.println(e);
            Runtime.getRuntime().halt(WorkerProtocol.COULD_NOT_START);   // llama.cpp's threads would keep the process
        }
    }

    private static void endWithParent() {
        try {
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            System.err.println(e);
        }
        Runtime.getRuntime().halt(WorkerProtocol.PARENT_ENDED);
    }

    private static ModelParameters parameters(Path weights, int slots, int context) {
        int cores = Runtime.getRuntime().availableProcessors();
        return new ModelParameters()
            .setModel(weights.toString())
            .setParallel(slots)
            .setCtxSize(slots * context)
            .setThreads(Math.max(1, cores - 1))   // with all cores, one busy neighbour stalls every step
            .setThreadsBatch(cores)
            .skipWarmup()   // seconds on a busy machine, and no gain: the first request does the same
            .disableContextShift();
    }

    private int serve() throws IOException {
        var server = Loopback.bind(0);
        Loopback.serve(server, this::answer);
        return server.getAddress().getPort();
    }

    private Loopback.Reply answer(Loopback.Call call) throws IOException {
        return switch (call.path()) {
            case WorkerProtocol.CHAT -> Loopback.Reply.ok(chat(Question.of(call.body())));
            case WorkerProtocol.COMPLETION -> Loopback.Reply.ok(completion(Question.of(call.body())));
            default -> throw Refusal.notFound(call.method(), call.path());
        };
    }

    private ObjectNode chat(Question question) {
        var answer = generate(question, template.render(question.messages()));
        if (question.wantsJson() && answer.isWhole()) ResponseFormat.verify(answer.text());
        var json = envelope("chatcmpl-", "chat.completion", question, answer);
        ((ObjectNode) json.at("/choices/0")).putObject("message")
            .put("role", "assistant").put("content", answer.text()).putNull("refusal");
        return json;
    }

    private ObjectNode completion(Question question) {
        var answer = generate(question, question.prompt());
        var json = envelope("cmpl-", "text_completion", question, answer);
        ((ObjectNode) json.at("/choices/0")).put("text", answer.text());
        return json;
    }

    private static ObjectNode envelope(String prefix, String object, Question question, Generation.Answer answer) {
        var json = JsonNodeFactory.instance.objectNode();
        json.put("id", prefix + UUID.randomUUID()).put("object", object)
            .put("created", Instant.now().getEpochSecond()).put("model", question.model());
        json.putArray("choices").addObject()
            .put("index", 0).putNull("logprobs").put("finish_reason", answer.finishReason());
        json.putObject("usage")
            .put("prompt_tokens", answer.promptTokens())
            .put("completion_tokens", answer.completionTokens())
            .put("total_tokens", answer.promptTokens() + answer.completionTokens());
        return json;
    }

    private Generation.Answer generate(Question question, String prompt) {
        int promptTokens = llama.encode(prompt).length + beginning;
        int room = context - promptTokens - 1;   // llama.cpp keeps the last cell of a slot free
        if (room < 1)
            throw new Refusal(400, "context_length_exceeded", question.promptField(), "This model's maximum context"
                + " length is " + context + " tokens, but the prompt alone has " + promptTokens);
        int limit = (int) Math.min(question.maxTokens().orElse((long) room), room);
        var generation = new Generation(llama, limit, question.stops());
        generation.run(question.sampling(prompt, limit));
        return generation.answer(promptTokens);
    }
}
