package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;

/** How a batch gets its journal: from a draft, or, if it was submitted elsewhere, from what its provider still has. */
final class Preparation {
    private static final int SHOWN = 1 << 16;              // bytes

    private Preparation() {}

    /**
     * Expands a draft into its folder under {@code ~/.sheaf}, and takes a step with the lock of that folder held.
     * @param connect finds the provider of an earlier batch
     */
    static void begin(Settings settings, Watch watch, Function<Manifest.Address, Connection> connect,
                      Consumer<Progress> step) {
        var baseUrl = watch.state().provider().baseUrl();
        BaseUrl.checkBatches(baseUrl, Wording.ENGINE.of(baseUrl));
        if (settings.quiet) watch.state().provider().hush();
        if (!settings.note.isEmpty()) watch.note(settings.note);
        if (settings.data == null) new Literals(settings.prompts).warnings().forEach(watch::note);
        var requests = new Requests(settings, watch.state().provider());
        watch.sending(progress -> begin(settings, requests, watch, progress, connect, () -> step.accept(progress)));
    }

    /**
     * Stages all requests; says how far it is if that takes long.
     * @param note told what is odd about the rows
     */
    static void fill(Staging staging, Requests requests, Progress progress, Consumer<String> note)
            throws IOException {
        long bytes = 0;
        try (var lines = requests.open(note); var shown = progress.transfer("expanding the rows")) {
            for (var i = lines.iterator(); i.hasNext(); ) {
                var request = i.next();
                staging.add(request);
                long before = bytes;
                bytes += request.line().length;
                if (before / SHOWN != bytes / SHOWN) shown.show(bytes, 0);      // a look at the clock for many lines
            }
        }
    }

    /** Learns who the provider is. If nobody answers, it is who was always there: what is whole here needs no one. */
    static void meet(Watch watch) {
        try {
            watch.api().meet("submit");
        } catch (UncheckedIOException nobody) {
            var provider = watch.state().provider();
            provider.hold(Journal.metAt(provider.baseUrl()).orElseThrow(() -> nobody));
        }
    }

    /** Meets it likewise, and says why nobody else is asked in its place. */
    private static void meetFirst(Settings settings, Watch watch) {
        try {
            meet(watch);
        } catch (UncheckedIOException nobody) {
            if (!settings.asksOthers()) throw nobody;
            var others = settings.fallback == null ? "the other shares were" : "the fallback was";
            throw new UncheckedIOException(nobody.getMessage() + "; " + others + " not asked, for nobody knows which "
                + "server that is", nobody.getCause());
        }
    }

    /** Whether all of it was answered by who was always there, so that nobody has to be started to be asked. */
    private static boolean isWhole(Connection provider, Staging staging, String name) {
        var met = provider.isMissing() ? Journal.metAt(provider.baseUrl()) : Optional.<Identity>empty();
        if (met.isEmpty()) return false;
        provider.hold(met.get());
        var target = staging.folder(name);
        var journal = isBegun(target) ? new Journal(target) : null;
        if (journal != null && journal.collected().count() == journal.partCount()) return true;
        provider.hold(null);
        return false;
    }

    private static void begin(Settings settings, Requests requests, Watch watch, Progress progress,
                              Function<Manifest.Address, Connection> connect, Runnable step) {
        var provider = watch.state().provider();
        try (var staging = new Staging(provider, requests.endpoint(), settings.completionWindow)) {
            if (!settings.shares.isEmpty()) staging.share(settings.shares);
            fill(staging, requests, progress, watch::note);
            staging.complete(settings.distinct);
            if (!isWhole(provider, staging, settings.batchName())) meetFirst(settings, watch);
            Predicate<Journal> isHere = old -> isHere(old, watch);
            var named = named(settings, staging, isHere);
            var target = target(staging, named.batchName(), isHere);
            if (isBegun(target)) staging.keptShares(new Journal(target).manifest()).ifPresent(watch::note);
            else leaveOut(named, staging, watch, connect);
            var budget = settings.budget == null ? null : new Budget(named, provider);
            try (var purse = budget == null ? null : budget.lock(watch::note);
                 var lock = FolderLock.on(target, watch::note)) {
                if (budget != null) check(budget, staging, target);
                watch.state().setJournal(staging.settle(named, target));
                if (settings.resend != null) checkUnchanged(settings.resend, watch);
                step.run();
            }
        } catch (IOException e) {
            throw cannot("submit", "write to " + Environment.home(), e);
        }
    }

    /** Leaves out what was answered before, and what is to be sent but once. */
    private static void leaveOut(Settings settings, Staging staging, Watch watch,
                                 Function<Manifest.Address, Connection> connect) throws IOException {
        Reuse.takeOver(settings, staging, watch.state().provider(), connect, watch::note);
        staging.leaveOutRepeats();
        boolean isTold = settings.resend != null || staging.repeatNote().isEmpty();
        if (!isTold) watch.note(staging.repeatNote());
    }

    /** Of a batch that was begun only what waits is still to be paid. */
    private static void check(Budget budget, Staging staging, Path target) {
        if (isBegun(target)) {
            var journal = new Journal(target);
            var requests = journal.requests();
            var unsent = unsentParts(journal);
            budget.check(requests.count(), i -> requests.isInAPart(i) && unsent.contains(requests.part(i)),
                requests::text, Shares.Split.of(journal.manifest(), requests::part), true);
        } else {
            var lines = staging.requests();
            budget.check(lines.size(), i -> lines.file(i) != SentRequests.REUSED && !staging.isRepeat(i), lines::text,
                staging.split(), true);
        }
    }

    /** Returns the numbers of the parts of a batch that nobody was sent, and nobody is to be by another batch. */
    static Set<Integer> unsentParts(Journal journal) {
        var resent = Submission.resentParts(journal);
        var elsewhere = journal.others().flatMap(other -> other.manifest().insteadParts().stream())
            .collect(Collectors.toSet());
        return journal.partNumbers().boxed().filter(part -> !journal.isSent(part)
            && !elsewhere.contains(part) && !resent.contains(part)).collect(Collectors.toSet());
    }

    /** What an earlier Sheaf began under the name that it gave goes on under that. */
    static Settings named(Settings settings, Staging staging, Predicate<Journal> isHere) {
        if (isBegun(target(staging, settings.batchName(), isHere))) return settings;
        return settings.formerName().filter(former -> isBegun(target(staging, former, isHere)))
            .map(former -> settings.with(s -> s.name = former)).orElse(settings);
    }

    /** Whether these requests are here already, and something of them was sent that is of use. */
    static boolean isBegun(Path folder) { return Files.exists(folder) && !new Journal(folder).isUntouched(); }

    /** Returns the folder that the requests belong into: one of the first days, if this server has its batches. */
    static Path target(Staging staging, String name, Predicate<Journal> isHere) {
        var target = staging.folder(name);
        var old = staging.oldFolder(name);
        return Files.exists(target) || !Files.exists(old) || !isHere.test(new Journal(old)) ? target : old;
    }

    /** A folder of the first days does not say whose batches it holds, if that was a server on this machine. */
    private static boolean isHere(Journal old, Watch watch) {
        if (old.isAt(watch.state().provider())) return true;
        var ids = old.parts().map(Part::id).filter(id -> !id.isEmpty()).toList();
        if (old.manifest().provider().identity().isTold() || ids.isEmpty()) return false;
        try {
            watch.api().retrieve("submit", ids.get(0));
            return true;
        } catch (BatchException e) {
            if (e.status() != 404) throw e;
            return false;
        }
    }

    /**
     * What failed may be at the provider anew by now, by another process; then it is not sent again here. Whoever
     * comes later finds the batch begun that is to send it, for its lock is held.
     */
    private static void checkUnchanged(Resend resend, Watch watch) throws IOException {
        try {
            resend.batchIds().forEach((folder, ids) -> {
                try (var lock = FolderLock.on(folder, watch::note)) {
                    checkUnchanged(folder, ids);
                }
            });
        } catch (SentAnew e) {
            var journal = watch.state().journal();
            if (journal.isUntouched()) journal.delete();
            throw e;
        }
    }

    private static void checkUnchanged(Path folder, List<String> ids) {
        var now = new Journal(folder).partIds();
        for (int part = 0; part < now.size(); part++)
            if (ids.get(part) != null && !now.get(part).equals(ids.get(part)))
                throw new SentAnew("submit: part " + (part + 1) + " of " + folder.getFileName()
                    + " was submitted anew meanwhile, so nothing of it is sent again; run again");
    }

    /** What was to be sent again was submitted anew meanwhile. */
    static final class SentAnew extends IllegalStateException {
        SentAnew(String what) { super(what); }
    }

    /** Returns the name that a batch is kept under that was submitted elsewhere. */
    static String nameOf(String id) { return DefaultName.plainName(id, 64); }

    /**
     * Returns settings with a name of their own, under which nothing is kept for longer than this program runs: nobody
     * needs invented answers later. They are quiet: where it runs, and what fails there, is nobody's concern.
     */
    static Settings rehearsal(Settings settings) {
        var name = DefaultName.plainName("rehearsal-" + settings.batchName(), 50);
        forgetRehearsal(name);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> forgetRehearsal(name)));
        return settings.with(s -> {
            s.name = name;
            s.out = null;
            s.budget = null;
            s.quiet = true;
            s.fallback = null;
            s.shares = List.of();
        });
    }

    /** Deletes what a rehearsal has left: on this machine, for a batch elsewhere of that name was paid. */
    private static void forgetRehearsal(String name) {
        Journal.readable()
            .filter(former -> former.name().equals(name) || former.name().equals(DefaultName.ofRetry(name)))
            .filter(former -> BaseUrl.isLoopback(URI.create(former.manifest().provider().baseUrl())))
            .forEach(Preparation::delete);
    }

    private static void delete(Journal journal) {
        try {
            journal.delete();
        } catch (IOException e) {
            throw cannot("rehearse", "write to " + journal.dir(), e);
        }
    }

    /** Makes a journal of a batch that was submitted elsewhere: of its input file or, if that is gone, its answers. */
    static void adopt(Watch watch) {
        var part = watch.state().part(1);
        var provider = watch.state().provider();
        var settings = new Settings().with(s -> s.name = nameOf(part.id()));
        try (var staging = Staging.ofSent(provider, part.json().path("endpoint").asText())) {
            addRequests(part, staging, watch);
            staging.complete();
            var target = staging.folder(settings.name);
            try (var lock = FolderLock.on(target, watch::note)) {
                var journal = staging.settle(settings, target);
                if (journal.isWaiting()) journal.created(1, part.json());
                journal.ended(part);
                watch.state().setJournal(journal);
            }
        } catch (IOException e) {
            throw cannot("results", "write to " + Environment.home(), e);
        }
    }

    private static void addRequests(Part part, Staging staging, Watch watch) throws IOException {
        var file = staging.scratch();
        if (download(watch, part.inputFileId(), file)) {
            add(file, staging, line -> line);
        } else {
            watch.note("results: the input file of " + part.id()
                + " is gone, so its rows are unknown, and so are requests without an answer ("
                + part.requestCounts().total() + " were sent)");
            for (var answers : List.of(part.outputFileId(), part.errorFileId()))
                if (download(watch, answers, file)) add(file, staging, Preparation::onlyId);
        }
        Files.deleteIfExists(file);
    }

    private static JsonNode onlyId(JsonNode line) {
        return Json.MAPPER.createObjectNode().set("custom_id", line.path("custom_id"));
    }

    /** Returns whether there is such a file. */
    private static boolean download(Watch watch, String id, Path target) {
        if (id.isEmpty()) return false;
        try {
            Download.fetch(watch.api(), id, target, watch.progress().transfer("downloading " + id));
            return true;
        } catch (BatchException e) {
            if (e.status() != 404 && e.status() != 410) throw e;
            return false;
        }
    }

    private static void add(Path file, Staging staging, UnaryOperator<JsonNode> change) throws IOException {
        try (var lines = new Lines(Files.newInputStream(file))) {
            while (lines.advance())
                if (!lines.isBlank()) staging.add("", Json.line(change.apply(Json.lenient(lines.text()))));
        }
    }
}
