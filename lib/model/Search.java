package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.WRITE;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * Looks for the file of one model, nearest place first: Sheaf's own cache, the caches of other tools, the network.
 * Only a file with the model's SHA-256 is it.
 */
final class Search {
    static final String OFFLINE = "the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE";

    private final ModelFile model;
    private final Path cached;   // where the file lies once it is in Sheaf's own cache, or a link to it
    private final List<String> failures = new ArrayList<>();

    Search(ModelFile model) {
        this.model = model;
        this.cached = folder().resolve(model.sha256() + ".gguf");
    }

    /** Nobody wants the file fetched. */
    static final class Declined extends RuntimeException {
        static final String WORD = "declined";

        Declined() { super(WORD); }
    }

    /** The part of Sheaf's cache where models are. */
    static Path folder() { return Machine.sheafCache().resolve("models"); }

    static boolean isOffline() { return Machine.isOn("SHEAF_OFFLINE") || Machine.isOn("HF_HUB_OFFLINE"); }

    /** Returns the file if it is on this machine, checked once. */
    Optional<Path> here() {
        synchronized (Search.class) {
            return isCached() ? Optional.of(cached) : inOtherCaches();
        }
    }

    /** Whether the file seems to be on this machine, told by its size. */
    boolean isLikelyHere() { return isCached() || Caches.filesOf(model.bytes()).findAny().isPresent(); }

    private boolean isCached() {
        return cached.toFile().length() == model.bytes();   // only a file whose checksum was right gets this name
    }

    private Optional<Path> inOtherCaches() {
        var found = Caches.filesOf(model.bytes()).filter(this::isGenuine).findFirst();
        found.ifPresent(file -> System.err.println("sheaf: taking " + model + " from " + file));
        found.ifPresent(this::link);
        return found;
    }

    private boolean isGenuine(Path file) {
        try {
            return Checksum.sha256(file).equals(model.sha256());
        } catch (IOException e) {
            failures.add(file + ": " + Machine.reason(e));
            return false;
        }
    }

    /** Saves the next search the reading of the whole file; where there are no links, each reads it. */
    private void link(Path file) {
        try {
            Files.createDirectories(cached.getParent());
            Files.deleteIfExists(cached);   // it may point to what is gone
            Files.createSymbolicLink(cached, file);
        } catch (IOException | UnsupportedOperationException e) {
            failures.add(cached + ": " + e.getMessage());
        }
    }

    /**
     * Returns the file, fetched and checked; one thread and one process at a time.
     * @param consent whether it is to be fetched from a place that has answered
     * @throws IOException if no place has it, with the reason of each
     * @throws Declined if consent is not given
     */
    Path fetch(Predicate<Download> consent) throws IOException {
        synchronized (Search.class) {
            try {
                Files.createDirectories(cached.getParent());
            } catch (IOException e) {
                throw Machine.cannotWrite(cached.getParent(), e);
            }
            try (var channel = FileChannel.open(cached.resolveSibling(model.sha256() + ".lock"), CREATE, WRITE)) {
                channel.lock();   // until the channel closes
                return isCached() ? cached : fetchFromAny(consent);
            }
        }
    }

    private Path fetchFromAny(Predicate<Download> consent) throws IOException {
        if (isOffline()) throw new IOException(OFFLINE);
        checkRoom();
        for (var place : model.places())
            if (fetchFrom(place, consent)) return cached;
        throw new IOException(String.join("; ", failures));
    }

    private Path unfinished(Download place) { return cached.resolveSibling(model.sha256() + place.suffix()); }

    private void checkRoom() throws IOException {
        var folder = cached.getParent();
        long begun = model.places().stream().mapToLong(place -> unfinished(place).toFile().length()).max().orElse(0);
        long free = folder.toFile().getUsableSpace();
        if (free < model.bytes() - begun)
            throw new IOException("its " + Download.megabytes(model.bytes()) + " do not fit into " + folder + ", where "
                + Download.megabytes(free) + " are free; make room there, or set SHEAF_CACHE to another folder");
    }

    /** Returns whether the file was fetched from a place, and is what it should be. */
    private boolean fetchFrom(Download place, Predicate<Download> consent) throws IOException {
        var unfinished = unfinished(place);
        try {
            place.fetch(unfinished, model.bytes(), () -> {
                if (!consent.test(place)) throw new Declined();
            });
        } catch (IOException e) {
            failures.add(place.name() + ": " + Machine.reason(e));
            return false;
        }
        return accept(unfinished, place);
    }

    private boolean accept(Path unfinished, Download place) throws IOException {
        var sum = Checksum.sha256(unfinished);
        if (sum.equals(model.sha256())) {
            Files.move(unfinished, cached, ATOMIC_MOVE, REPLACE_EXISTING);
            return true;
        }
        Files.delete(unfinished);
        failures.add(place.name() + ": wrong SHA-256 " + sum + " instead of " + model.sha256() + ", file removed");
        return false;
    }
}
