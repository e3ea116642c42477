package sheaf.model;

import static java.util.stream.Collectors.joining;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A program of this machine that can serve a GGUF file: a llama-server on the PATH, else a JVM with llama.cpp in it.
 * It does not know what its process is asked, or how often it is started.
 */
record Engine(String name, Supplier<EngineProcess> launcher) {
    /** Chooses the program; a slot is never larger than what the model was trained on. */
    static Engine find(Weights weights, int slots, int contextSize) {
        int context = Math.min(contextSize, weights.header().contextLength());
        return Environment.program("llama-server")
            .map(program -> llamaServer(program, weights, slots, context))
            .orElseGet(() -> worker(weights, slots, context));
    }

    /** Returns when the process is ready. */
    EngineProcess start() { return launcher.get(); }

    private static Engine llamaServer(Path program, Weights weights, int slots, int context) {
        return new Engine(label("llama-server", slots, context), () -> {
            int port = freePort();
            return EngineProcess.start(List.of(program.toString(), "--model", weights.file().toString(),
                "--alias", weights.name(), "--host", "127.0.0.1", "--port", "" + port,
                "--parallel", "" + slots, "--ctx-size", "" + slots * context))   // llama-server divides it by the slots
                .awaitHealth(port);
        });
    }

    private static int freePort() {
        try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException("start: there is no free port (" + e.getMessage() + ")", e);
        }
    }

    private static Engine worker(Weights weights, int slots, int context) {
        var command = new ArrayList<>(javaCommand());
        command.add(Worker.class.getName());
        command.addAll(new WorkerProtocol.Arguments(weights.file(), slots, context).toList());
        return new Engine(label("llama.cpp in a JVM of its own", slots, context),
            () -> EngineProcess.start(command).awaitReadyLine());
    }

    private static String label(String program, int slots, int context) {
        return program + ", " + slots + " slots of " + context + " tokens";
    }

    private static List<String> javaCommand() {
        var command = new ArrayList<>(List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=" + Natives.folder().resolve("crash.log"),
            "-Dsun.net.httpserver.nodelay=true",
            "-Dde.kherud.llama.lib.path=" + Natives.unpacked(),
            "-Dde.kherud.llama.tmpdir=" + Natives.scratch()));
        if (Runtime.version().feature() >= 22) command.add("--enable-native-access=ALL-UNNAMED");
        command.addAll(List.of("-cp", classPath()));
        return command;
    }

    /** The few jars that the worker needs, wherever JBang, a notebook or a build tool has put them. */
    private static String classPath() {
        return Stream.of(Worker.class, ObjectMapper.class, JsonFactory.class, JsonInclude.class, Natives.llama())
            .map(type -> Natives.jar(type).toString())
            .distinct()
            .collect(joining(System.getProperty("path.separator")));
    }
}
