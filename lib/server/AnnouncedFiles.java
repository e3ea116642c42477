package sheaf.server;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Files of which a client first says the name, and then puts the content to a URL that nobody else knows, as Together
 * has it; a server that stops forgets them. They know no endpoint, and what is announced is no file yet.
 *
 * @see <a href="https://github.com/togethercomputer/together-py">Together's client</a>
 */
final class AnnouncedFiles {
    private static final int MOST = 256;

    private final Map<String, Announced> pending = new LinkedHashMap<>();   // by id, the oldest first
    private final Path folder;                                              // of what has been put

    record Announced(String id, String name, String purpose, Path content) {
    }

    AnnouncedFiles(Path folder) { this.folder = folder; }

    /** Announces a file and returns its id; the oldest that never came gives way where there are too many. */
    synchronized String announce(String name, String purpose) throws IOException {
        var id = Json.newId("file-");
        pending.put(id, new Announced(id, name, purpose, folder.resolve(id)));
        if (pending.size() > MOST) forget(pending.keySet().iterator().next());
        return id;
    }

    private void forget(String id) throws IOException { Files.deleteIfExists(pending.remove(id).content); }

    synchronized Announced find(String id) {
        if (!pending.containsKey(id)) throw new Refusal(404, "No file with id '" + id + "' is awaited.", "id", null);
        return pending.get(id);
    }

    /** Takes the content of a file, in place of what may have been put before, and returns how many bytes it has. */
    long put(String id, InputStream bytes, long most) throws IOException {
        var arriving = Files.createTempFile(folder, id, null);
        try (var out = Files.newOutputStream(arriving)) {
            long written = 0;
            var buffer = new byte[64 * 1024];
            for (int read; written <= most && (read = bytes.read(buffer)) >= 0; written += read)
                out.write(buffer, 0, read);
            if (written <= most) keep(id, arriving);
            return written;
        } finally {
            Files.deleteIfExists(arriving);
        }
    }

    private synchronized void keep(String id, Path arrived) throws IOException {
        Files.move(arrived, find(id).content, StandardCopyOption.REPLACE_EXISTING);
    }

    /** Returns a file whose content has come, and awaits it no longer. */
    synchronized Announced arrived(String id) {
        var announced = find(id);
        if (!Files.exists(announced.content))
            throw Refusal.invalid("id", null, "The content of '" + id + "' has not been put yet.");
        return pending.remove(id);
    }
}
