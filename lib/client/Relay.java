package sheaf;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.util.Arrays;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

/**
 * Hands on what is written to it, in order, by a thread of its own: who makes bytes need not wait until they are
 * digested and on the disk. It holds no more than a few blocks, and what fails is thrown by the next write.
 */
final class Relay extends OutputStream {
    private static final int BLOCK = 1 << 16;              // bytes
    private static final int WAITING = 4;                  // blocks
    private static final byte[] END = {};
    private final OutputStream out;
    private final BlockingQueue<byte[]> full = new ArrayBlockingQueue<>(WAITING);
    private final Thread writer = new Thread(this::write, "sheaf-writer");
    private byte[] block = new byte[BLOCK];
    private int length;                                    // of what is in the block
    private volatile Throwable fault;
    private boolean isTold;
    private boolean isClosed;

    Relay(OutputStream out) {
        this.out = out;
        writer.setDaemon(true);
        writer.start();
    }

    private void write() {
        try {
            for (var next = full.take(); next != END; next = full.take()) out.write(next);
        } catch (Throwable e) {
            fault = e;
            full.clear();                                  // whoever waits for room goes on, and meets the fault
        }
    }

    @Override public void write(byte[] bytes, int offset, int size) throws IOException {
        for (int taken; size > 0; offset += taken, size -= taken) {
            taken = Math.min(size, BLOCK - length);
            System.arraycopy(bytes, offset, block, length, taken);
            length += taken;
            if (length == BLOCK) handOver();
        }
    }

    @Override public void write(int b) throws IOException { write(new byte[] {(byte) b}, 0, 1); }

    private void handOver() throws IOException {
        put(length == BLOCK ? block : Arrays.copyOf(block, length));
        block = new byte[BLOCK];
        length = 0;
    }

    private void put(byte[] bytes) throws IOException {
        try {
            check();
            full.put(bytes);
            check();
        } catch (InterruptedException e) {
            throw interrupted();
        }
    }

    /** Throws what failed, once: whoever closes what has thrown would have it twice. */
    private void check() throws IOException {
        if (fault == null || isTold) return;
        isTold = true;
        if (fault instanceof IOException e) throw e;
        throw fault instanceof RuntimeException e ? e : new IllegalStateException(fault);
    }

    private IOException interrupted() {
        writer.interrupt();
        Thread.currentThread().interrupt();
        return new InterruptedIOException("interrupted");
    }

    /** Returns when all is handed on; the stream behind it stays open. */
    @Override public void close() throws IOException {
        if (isClosed) return;
        isClosed = true;
        if (length > 0 && fault == null) handOver();
        if (fault == null) put(END);
        try {
            writer.join();
        } catch (InterruptedException e) {
            throw interrupted();
        }
        check();
    }
}
