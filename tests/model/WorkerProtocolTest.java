package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** What a worker says and is told, as its parent reads and writes it. */
class WorkerProtocolTest {
    @Test void theParentFindsThePortInTheLineThatSaysItAndInNoOther() {
        var lines = ("llama.cpp: 100 %" + WorkerProtocol.readyLine(40123)).split("\n");

        assertEquals(List.of(OptionalInt.empty(), OptionalInt.of(40123)),
            List.of(WorkerProtocol.portIn(lines[0]), WorkerProtocol.portIn(lines[1])));
    }

    @Test void theWorkerReadsWhatTheParentWrote() {
        var told = new WorkerProtocol.Arguments(Path.of("my models", "tiny.gguf"), 4, 2048);

        assertEquals(told, WorkerProtocol.Arguments.of(told.toList().toArray(String[]::new)));
    }
}
