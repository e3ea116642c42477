package sheaf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What other threads do comes out as if one had done it all. */
@Timeout(60)
class RelayTest {
    @Test void allIsHandedOnInOrderWhateverTheSizes() throws IOException {
        var random = new Random(7);
        var given = new ByteArrayOutputStream();
        var came = new ByteArrayOutputStream();

        try (var relay = new Relay(came)) {
            for (int i = 0; i < 500; i++) {
                var bytes = new byte[random.nextInt(i % 50 == 0 ? 200_000 : 1_000)];
                random.nextBytes(bytes);
                given.write(bytes);
                relay.write(bytes);
                relay.write(i);
                given.write(i);
            }
        }

        assertArrayEquals(given.toByteArray(), came.toByteArray());
    }

    @Test void whatFailsBehindItIsThrownOnceToWhoWrites() {
        var fault = assertThrows(IOException.class, () -> {
            try (var relay = new Relay(full())) {
                for (int i = 0; i < 100; i++) relay.write(new byte[1 << 16]);
            }
        });

        assertEquals("no space left on device", fault.getMessage());
        assertEquals(0, fault.getSuppressed().length);
    }

    @Test void whatFailsAtTheEndIsThrownByClose() throws IOException {
        var relay = new Relay(full());
        relay.write(1);

        assertEquals("no space left on device", assertThrows(IOException.class, relay::close).getMessage());
    }

    private static OutputStream full() {
        return new OutputStream() {
            @Override public void write(int b) throws IOException { throw new IOException("no space left on device"); }
        };
    }

    @Test void piecesAreTakenInOrderAndAFaultInItsTurn() {
        var taken = new ArrayList<Integer>();
        var pieces = IntStream.range(0, 100).mapToObj(i -> (Callable<Integer>) () -> {
            Thread.sleep(i % 3);
            if (i >= 50) throw new IllegalArgumentException("piece " + i);
            return i;
        });

        var fault = assertThrows(IllegalArgumentException.class, () -> Pieces.inOrder(pieces.iterator(), taken::add));

        assertEquals("piece 50", fault.getMessage());
        assertEquals(IntStream.range(0, 50).boxed().toList(), taken);
    }

    @Test void noPiecesAreNoWork() {
        Pieces.inOrder(Stream.<Callable<String>>of().iterator(), taken -> { throw new AssertionError(taken); });
    }
}
