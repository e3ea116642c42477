package sheaf;

import static sheaf.Messages.cannot;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.BitSet;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.ToLongFunction;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;

/**
 * Fetches what came back of a batch, both files of each part. One with fewer answers than it should have is not
 * final: it is asked for again at each later look, and what is here of it stays until more comes.
 */
final class AnswerFiles {
    private static final int LOOKS = 5;                        // for files not yet there, over some fifteen seconds
    private final Journal journal;
    private final BatchApi api;
    private final Progress progress;
    private final Consumer<String> note;
    private final ToLongFunction<String> requests;             // by id; -1: never asked
    private final ToLongFunction<Part> indexed;                // answers, by the index, if that is of this look; or -1
    private final Retry looking;                               // for a file that cannot be read yet
    private int looks;

    AnswerFiles(Journal journal, BatchApi api, Progress progress, Consumer<String> note,
                ToLongFunction<String> requests, ToLongFunction<Part> indexed) {
        this.requests = requests;
        this.indexed = indexed;
        this.journal = journal;
        this.api = api;
        this.progress = progress;
        this.note = note;
        this.looking = Retry.ofCalls(api.connection().isLocal());
    }

    /** Fetches what is not here yet. If anything came, there is no index of answers, or one that knows it. */
    void fetch() {
        boolean isNew = !Files.exists(journal.answersIndex());
        for (var part : journal.parts().toList()) isNew |= fetch(part);
        for (var part : journal.parts().toList())
            if (journal.isFetched(part) && (isNew || journal.isShort(part.number()))) isNew |= complete(part);
        if (journal.collected().count() == journal.partCount()) sweep();
    }

    /** Once all has come, what a killed process had begun to fetch is of no use. */
    private void sweep() {
        try (var begun = Files.newDirectoryStream(journal.dir(), "{.,..}part-*")) {
            for (var file : begun) Files.deleteIfExists(file);
        } catch (IOException e) {
            throw cannot("results", "read " + journal.dir(), e);
        }
    }

    /** Fetches both files of a part; returns whether one came that was not here. */
    private boolean fetch(Part part) {
        boolean hasNewOutput = fetch(part, "output");
        boolean hasNewErrors = fetch(part, "error");
        return hasNewOutput || hasNewErrors;
    }

    /** No file ever stands beside an index that does not know it, so that goes first. */
    private boolean fetch(Part part, String kind) {
        var file = journal.answerFile(part.number(), kind);
        if (id(part, kind).isEmpty() || Files.exists(file)) return false;
        journal.answersIndex().toFile().delete();
        try {
            download(part, kind, file);
            return true;
        } catch (BatchException e) {
            if (e.status() != 404 && e.status() != 410) throw e;
            note.accept(e.getMessage() + "; its file is gone, and the requests in it count as missing");
            return false;
        }
    }

    private static String id(Part part, String kind) {
        return kind.equals("output") ? part.outputFileId() : part.errorFileId();
    }

    /** A file may be named a little before it can be read; once one stays away, no other is waited for. */
    private void download(Part part, String kind, Path file) {
        while (true) {
            try {
                Download.fetch(api, id(part, kind), file, transfer(part, kind));
                return;
            } catch (BatchException e) {
                if (e.status() != 404 || ++looks > LOOKS) throw e;
                looking.pause("results", e);
            }
        }
    }

    private Progress.Transfer transfer(Part part, String kind) {
        return progress.transfer("downloading the " + (kind.equals("output") ? "answers" : "errors") + " of part "
            + part.number() + " of " + journal.partCount());
    }

    /**
     * Fetches the files of a part anew if fewer answers are here than there should be: twice at first, once at
     * each later look. Returns whether more came.
     */
    private boolean complete(Part part) {
        boolean wasShort = journal.isShort(part.number());
        boolean isNew = wasShort && fetch(asNamedNow(part));
        for (int attempt = wasShort ? Retry.ATTEMPTS : 2; attempt <= Retry.ATTEMPTS && isShort(part); attempt++)
            for (var kind : Journal.KINDS) isNew |= fetchAnew(part, kind);
        boolean isShort = isShort(part);
        journal.markShort(part.number(), isShort);
        if (isShort) note.accept(shortage(part));
        return isNew;
    }

    private String shortage(Part part) {
        var ofAll = isCounted(part) ? String.format(Locale.ROOT, " of %,d", answerCount(part)) : "";
        return String.format(Locale.ROOT, "results: only %,d%s answers of part %d of %s came; run again, and the rest "
            + "is asked for anew", answersHere(part), ofAll, part.number(), journal.folderName());
    }

    /** A provider may have named a further file of the part since it ended; one that it names no more was there. */
    private Part asNamedNow(Part part) {
        try {
            var now = Part.of(part.number(), api.retrieve("results", part.id()));
            boolean namesMore = now.files().size() > part.files().size() && now.files().containsAll(part.files());
            if (!now.status().isTerminal() || !namesMore) return part;
            journal.ended(part.number(), now.json());
            return now;
        } catch (BatchException | UncheckedIOException unknown) {
            return part;
        }
    }

    /** Returns whether more answers came than are here; else these stay. */
    private boolean fetchAnew(Part part, String kind) {
        var file = journal.answerFile(part.number(), kind);
        if (!Files.exists(file)) return false;
        var anew = file.resolveSibling("." + file.getFileName() + ".anew");
        try {
            Download.fetch(api, id(part, kind), anew, transfer(part, kind));
            if (answersIn(part, Stream.of(anew)) <= answersIn(part, Stream.of(file))) return false;
            journal.answersIndex().toFile().delete();
            Files.move(anew, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            return true;
        } catch (BatchException | UncheckedIOException cannotBeHadNow) {
            return false;
        } catch (IOException e) {
            throw cannot("results", "write to " + file, e);
        } finally {
            AtomicFiles.delete(anew);
        }
    }

    private boolean isShort(Part part) {
        return isCounted(part) ? answersHere(part) < answerCount(part)
            : Journal.KINDS.stream().anyMatch(kind -> isCutOff(part, kind));
    }

    /** Whether it is known how many answers there are: not where a part ended early and its provider counts none. */
    private static boolean isCounted(Part part) {
        return part.requestCounts().total() > 0 || part.answerCount() > 0 || part.status().equals(Status.COMPLETED);
    }

    /** Where a provider counts no answers, a part that was run to its end has one to each of its requests. */
    private long answerCount(Part part) {
        boolean isUncounted = part.answerCount() == 0 && part.status().equals(Status.COMPLETED);
        return isUncounted ? journal.manifest().partRequests().get(part.number() - 1) : part.answerCount();
    }

    /** Whether a file here is smaller than its provider says, which is all that tells where nothing is counted. */
    private boolean isCutOff(Part part, String kind) {
        var file = journal.answerFile(part.number(), kind);
        return Files.exists(file) && file.toFile().length() < api.size(id(part, kind));
    }

    private long answersHere(Part part) {
        long answers = indexed.applyAsLong(part);
        return answers >= 0 ? answers
            : answersIn(part, Journal.KINDS.stream().map(kind -> journal.answerFile(part.number(), kind)));
    }

    /** Counts the requests of a part that are answered: a line that came twice, or answers none, makes up for none. */
    private long answersIn(Part part, Stream<Path> files) {
        var answered = new BitSet();
        files.filter(Files::exists).forEach(file -> addAnswered(part, file, answered));
        return answered.cardinality();
    }

    private void addAnswered(Part part, Path file, BitSet answered) {
        try (var lines = new Lines(Files.newInputStream(file))) {
            while (lines.advance()) {
                var id = Answer.id(lines);
                long request = id == null ? -1 : requests.applyAsLong(id);
                if (request >= 0 && journal.requests().part(request) == part.number()) answered.set((int) request);
            }
        } catch (IOException e) {
            throw cannot("results", "read " + file, e);
        }
    }
}
