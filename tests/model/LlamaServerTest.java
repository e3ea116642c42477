package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.model.Chat.ask;
import static sheaf.model.Chat.chat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.BatchServer;

/** A llama-server on the PATH. */
@DisabledOnOs(OS.WINDOWS)
class LlamaServerTest {
    final Settings settings = new Settings();
    @TempDir Path temp;
    Path weights;

    @BeforeEach void layOut() throws IOException {
        weights = Files.write(temp.resolve("tiny.gguf"), new GgufBytes().text("general.architecture", "llama")
            .int32("llama.context_length", 512).text("general.license", "mit").bytes());
        settings.set("PATH", temp);
    }

    @AfterEach void restore() { settings.restore(); }

    @Test void aLlamaServerIsStartedWithSlotsAndContext() throws IOException {
        install("exec " + JavaProcess.command(FakeLlamaServer.class) + " \"$@\"");
        try (var model = LocalModel.options().model(weights.toString()).slots(3).start()) {
            var answer = ask(model, chat("arguments"));
            var arguments = answer.at("/arguments");

            assertEquals("--model " + weights
                + " --alias tiny --host 127.0.0.1 --port N --parallel 3 --ctx-size 1536",
                arguments.replaceFirst("--port \\d+", "--port N"));
            assertTrue(answer.at("/body").endsWith("\"top_p\":0.95,\"top_k\":40}"), answer.toString());
            assertEquals("1000", answer.at("/spins"), "threads that spin for long wait for each other");
            assertEquals("tiny (1 MB, licence mit) on llama-server, 3 slots of 512 tokens", model.describe());
        }
    }

    @Test void behindAServerItIsNameAndWeightsWhateverThePortAndTheProgram() throws Exception {
        install("exec " + JavaProcess.command(FakeLlamaServer.class) + " \"$@\"");
        var renamed = Files.copy(weights, temp.resolve("tiny one.gguf"));
        var same = Files.copy(weights, Files.createDirectory(temp.resolve("elsewhere")).resolve("tiny.gguf"));
        var digest = Weights.of(weights.toString()).fingerprint();

        assertEquals(List.of("tiny " + digest, "tiny%20one " + digest, "tiny " + digest),
            List.of(identity(weights), identity(renamed), identity(same)));
    }

    @Test void theRequestThatCrashesTheEngineAloneGetsTheError() throws Exception {
        install("exec " + JavaProcess.command(FakeLlamaServer.class) + " \"$@\"");
        try (var model = LocalModel.options().model(weights.toString()).slots(4).start()) {
            var slow = Stream.of("wait", "wait", "wait")
                .map(text -> CompletableFuture.supplyAsync(() -> ask(model, chat(text)))).toList();

            var culprit = ask(model, chat("crash"));

            assertEquals(500, culprit.status());
            assertEquals("engine_crashed", culprit.at("/error/code"));
            assertEquals("this request crashed the engine, also when it ran alone (terminate called)",
                culprit.at("/error/message"));
            for (var other : slow) assertEquals(200, other.get(1, TimeUnit.MINUTES).status());
        }
    }

    @Test void anEngineThatDoesNotStartSaysWhyAndWhatHelps() throws IOException {
        install("echo loading; echo libgomp.so.1: cannot open shared object file; exit 1");

        var refusal = assertThrows(IllegalStateException.class, () -> LocalModel.start(weights.toString()));

        assertEquals("start: the engine ended before it was ready (libgomp.so.1: cannot open shared object file)"
            + "; install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)", refusal.getMessage());
    }

    /** Returns who a server in front of a model of these weights says that answers. */
    static String identity(Path weights) {
        try (var model = LocalModel.start(weights.toString()); var server = BatchServer.start(model.baseUrl())) {
            return Chat.identity(server.baseUrl());
        }
    }

    void install(String line) throws IOException {
        var script = Files.writeString(temp.resolve("llama-server"), "#!/bin/sh\n" + line + "\n");
        assertTrue(script.toFile().setExecutable(true));
    }
}
