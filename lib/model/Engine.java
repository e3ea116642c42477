package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.util.stream.Collectors.joining;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A program of this machine that can serve a GGUF file: a llama-server on the PATH, else a JVM with llama.cpp in it.
 * It does not know what its process is asked, or how often it is started.
 */
record Engine(String name, boolean isLlamaServer, Supplier<EngineProcess> launcher) {
    /** Chooses the program; a slot is never larger than what the model was trained on. */
    static Engine find(Weights weights, int slots, int contextSize) {
        int context = Math.min(contextSize, weights.header().contextLength());
        return Machine.program("llama-server")
            .map(program -> llamaServer(program, weights, slots, context))
            .orElseGet(() -> worker(weights, slots, context));
    }

    /** Returns when the process is ready. */
    EngineProcess start() { return launcher.get(); }

    private static Engine llamaServer(Path program, Weights weights, int slots, int context) {
        return new Engine(label("llama-server", slots, context), true, () -> {
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
        ChatTemplate.of(weights.header().text("tokenizer.chat_template"));   // refuses an unknown one at once
        var command = new ArrayList<>(javaCommand());
        command.add(Worker.class.getName());
        command.addAll(new Worker.Arguments(weights.file(), slots, context).toList());
        return new Engine(label("llama.cpp in a JVM of its own", slots, context), false,
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

    /**
     * The jar of llama.cpp, and the shared library in it, unpacked once: its own loader would do so at every start,
     * into a folder that others use too. Nothing of it is loaded into this JVM.
     */
    private static final class Natives {
        private Natives() { }

        /** The place of what is unpacked, in Sheaf's cache. */
        static Path folder() { return Machine.sheafCache().resolve("natives"); }

        /** A folder for the loader alone, because it deletes what looks like its library in there. */
        static Path scratch() { return create(folder().resolve("scratch")); }

        /** Returns a class of the jar, not initialized: that would load the library into this JVM. */
        static Class<?> llama() {
            try {
                return Class.forName("de.kherud.llama.LlamaModel", false, Natives.class.getClassLoader());
            } catch (ClassNotFoundException e) {
                throw new IllegalStateException("start: there is no engine; put llama-server on the PATH"
                    + " or de.kherud:llama on the class path, or name the URL of a running server", e);
            }
        }

        /** Returns the jar or folder that a class comes from. */
        static Path jar(Class<?> type) {
            return Optional.ofNullable(type.getProtectionDomain().getCodeSource())
                .map(CodeSource::getLocation)
                .map(location -> Path.of(URI.create(location.toString())))
                .orElseThrow(() -> new IllegalStateException("start: " + type.getName()
                    + " comes from no jar or folder that a child process could read; put llama-server on the PATH"));
        }

        /** Returns the folder with the library for this machine. */
        static Path unpacked() {
            var library = System.mapLibraryName("jllama");
            var version = jar(llama()).getFileName().toString().replaceFirst("\\.jar$", "");
            var target = create(folder().resolve(version)).resolve(library);
            if (!Files.exists(target)) unpack("/de/kherud/llama/" + platform() + "/" + library, target);
            return target.getParent();
        }

        private static String platform() {
            var system = System.getProperty("os.name").split(" ")[0];
            var processor = System.getProperty("os.arch").replace("amd64", "x86_64");
            return system + "/" + processor;
        }

        private static void unpack(String resource, Path target) {
            try (var in = llama().getResourceAsStream(resource)) {
                if (in == null)
                    throw new IllegalStateException("start: de.kherud:llama has no library for " + platform()
                        + "; put llama-server on the PATH or name the URL of a running server");
                var temporary = Files.createTempFile(target.getParent(), "unpack", ".tmp");
                Files.copy(in, temporary, REPLACE_EXISTING);
                Files.move(temporary, target, ATOMIC_MOVE);
            } catch (IOException e) {
                throw Machine.cannotWrite(target, e);
            }
        }

        private static Path create(Path folder) {
            try {
                return Files.createDirectories(folder);
            } catch (IOException e) {
                throw Machine.cannotWrite(folder, e);
            }
        }
    }
}
