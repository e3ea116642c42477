package sheaf.model;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.net.UnknownHostException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.Optional;

/** What failed input and output is called, for people. It does not know what was read or written, or why. */
final class Failures {
    private Failures() { }

    /** Says why, because the messages of some exceptions are empty, or no more than a name. */
    static String reason(IOException e) {
        if (e instanceof UnknownHostException) return "unknown host " + e.getMessage();
        if (e instanceof FileSystemException) return e.getClass().getSimpleName() + " " + e.getMessage();
        return Optional.ofNullable(e.getMessage()).orElse("connection refused");
    }

    static UncheckedIOException cannotWrite(Path place, IOException e) {
        return new UncheckedIOException("start: cannot write " + place + " (" + reason(e) + ")", e);
    }

    /** Makes an interrupt a failure that an I/O method may throw; the thread stays interrupted. */
    static InterruptedIOException interrupted() {
        Thread.currentThread().interrupt();
        return new InterruptedIOException("interrupted");
    }
}
