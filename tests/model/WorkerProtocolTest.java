package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** What a worker says and is told, as its parent reads and writes it. */
class WorkerProtocolTest {
    @Test void theParentFindsThePortInTheLineThatSaysItAndInNoOther() {
        var lines = ("llama.cpp: 100 %" + Worker.Protocol.readyLine(40123)).split("\n");

        assertEquals(List.of(OptionalInt.empty(), OptionalInt.of(40123)),
            List.of(Worker.Protocol.portIn(lines[0]), Worker.Protocol.portIn(lines[1])));
    }

    @Test void theWorkerReadsWhatTheParentWrote() {
        var told = new Worker.Arguments(Path.of("my models", "tiny.gguf"), 4, 2048);

        assertEquals(told, Worker.Arguments.of(told.toList().toArray(String[]::new)));
    }
}
