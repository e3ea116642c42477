package sheaf;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.util.SerializableConfiguration;

/**
 * A folder of files in any file system that Hadoop knows, each whole or not there: what is written has another name
 * until it is.
 */
final class PartFiles implements Serializable {
    private final String folder;
    private final SerializableConfiguration configuration;

    PartFiles(String folder, Configuration configuration) {
        this(folder, new SerializableConfiguration(configuration));
    }

    private PartFiles(String folder, SerializableConfiguration configuration) {
        this.folder = folder;
        this.configuration = configuration;
    }

    PartFiles in(String name) { return new PartFiles(path(name), configuration); }

    String path() { return folder; }

    String path(String name) { return folder + "/" + name; }

    private FileSystem system() throws IOException { return new Path(folder).getFileSystem(configuration.value()); }

    /** What is written to a file. */
    interface Content {
        void writeTo(OutputStream out) throws IOException;
    }

    /** A file in the making; one that is not finished is not there. */
    final class Writing implements AutoCloseable {
        private final Path target;
        private final Path unfinished;
        private final OutputStream out;
        private boolean isOpen = true;

        private Writing(String name) throws IOException {
            target = new Path(path(name));
            unfinished = new Path(path("." + name + "-" + UUID.randomUUID()));
            out = new BufferedOutputStream(system().create(unfinished), 1 << 16);
        }

        OutputStream out() { return out; }

        /** Another attempt that was faster has written the same. */
        void finish() throws IOException {
            close();
            if (system().rename(unfinished, target)) return;
            system().delete(unfinished, false);
            if (!system().exists(target)) throw new IOException("cannot rename " + unfinished + " to " + target);
        }

        @Override public void close() throws IOException {
            boolean wasOpen = isOpen;
            isOpen = false;
            if (wasOpen) out.close();
        }
    }

    Writing write(String name) throws IOException { return new Writing(name); }

    InputStream open(String name) throws IOException { return system().open(new Path(path(name))); }

    boolean has(String name) throws IOException { return system().exists(new Path(path(name))); }

    /** Deletes the folder, if it is there. */
    void delete() {
        try {
            system().delete(new Path(folder), true);
        } catch (IOException e) {
            throw cannotWrite(e);
        }
    }

    UncheckedIOException cannotWrite(IOException e) {
        return new UncheckedIOException("spark: cannot write to " + folder + " (" + Messages.reason(e) + ")", e);
    }
}
