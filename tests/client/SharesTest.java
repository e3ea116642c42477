package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.share;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** The requests of one draft at several providers, all at work at once. */
class SharesTest {
    private static final int ROWS = 20;
    private static final String CLOSED = "{\"error\": {\"message\": \"closed\", \"code\": \"closed\"}}";
    private final BatchServer first = BatchServer.start();
    private final BatchServer second = BatchServer.start();
    private final BatchServer third = BatchServer.start();
    private final List<String> askedFirst = Collections.synchronizedList(new ArrayList<>());
    private final List<String> askedSecond = Collections.synchronizedList(new ArrayList<>());
    private final List<String> askedThird = Collections.synchronizedList(new ArrayList<>());
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        answering(first, askedFirst);
        answering(second, askedSecond);
        answering(third, askedThird);
    }

    @AfterEach void stop() {
        List.of("SHEAF_PRICES", "SHEAF_API_KEY").forEach(System::clearProperty);
        Stream.of(first, second, third).forEach(BatchServer::close);
    }

    private static void answering(BatchServer server, List<String> asked) {
        server.answer(body -> {
            asked.add(body.path("model").asText() + " " + body.at("/messages/0/content").asText());
            return Reply.text(body.at("/messages/0/content").asText());
        });
    }

    @Test void bothAnswerAtOnceAndEachRowOnce() {
        first.pause();
        second.pause();
        var batch = shared(ROWS).submit();
        assertEquals(1, batches(first));
        assertEquals(1, batches(second));
        RawClient.await(() -> batch.status().equals(Status.IN_PROGRESS));
        RawClient.await(() -> batch.requestCounts().total() == ROWS);
        first.resume();
        second.resume();

        assertAnswered(ROWS, batch.results());
        assertEquals(new RequestCounts(ROWS, ROWS, 0), batch.requestCounts());
        assertEquals(ROWS, askedFirst.size() + askedSecond.size());
        assertTrue(askedFirst.size() >= 4 && askedSecond.size() >= 4, askedFirst + " " + askedSecond);
    }

    @Test void theReportAndThePartsAreOfThoseWhoWereAsked() {
        var batch = shared(ROWS).submit();
        batch.results().toReport(home.resolve("report.json"));

        var report = Json.read(home.resolve("report.json"), JsonNode.class);
        assertEquals(0, report.path("sentAgain").asInt());
        assertEquals(List.of("completed", "completed"), report.path("batches").findValuesAsText("status"));
        assertEquals(List.of(Status.COMPLETED, Status.COMPLETED), batch.parts().stream().map(Part::status).toList());
    }

    @Test void anotherRunAndAnotherListPayNothing() {
        assertAnswered(ROWS, shared(ROWS).submit().results());
        var before = asked();

        assertAnswered(ROWS, shared(ROWS).submit().results());
        assertAnswered(ROWS, ask(ROWS).providers(share(second.baseUrl(), 0.9).model("other"),
            share(first.baseUrl(), 0.1)).submit().results());
        assertAnswered(ROWS, ask(ROWS).providers(share(third.baseUrl(), 0.5), share(second.baseUrl(), 0.5))
            .submit().results());
        assertAnswered(ROWS, ask(ROWS).provider(first.baseUrl()).submit().results());

        assertEquals(before, asked());
    }

    @Test void aListThatIsNotKeptIsSaid() {
        shared(ROWS).submit().results();

        var said = Printed.stderr(() -> loud(ROWS).providers(share(first.baseUrl(), 0.2), share(second.baseUrl(), 0.8)
            .model("other")).submit().results());

        assertTrue(said.startsWith("providers: shared was begun with other shares and keeps them; other shares are for "
            + "new rows\n"), said);
    }

    @Test void grownDataAsksOnlyWhatIsNewByTheSharesOfThen() {
        shared(ROWS).submit().results();
        var before = asked();

        assertAnswered(2 * ROWS, ask(2 * ROWS).providers(share(first.baseUrl(), 0.5), share(third.baseUrl(), 0.5))
            .submit().results());

        assertEquals(2 * ROWS, asked().size());
        assertTrue(asked().containsAll(before));
        assertTrue(askedThird.size() >= 4, askedThird.toString());
    }

    @Test void aModelHasEachProvidersName() {
        shared(ROWS).submit().results();

        assertTrue(askedFirst.stream().allMatch(prompt -> prompt.startsWith("echo ")), askedFirst.toString());
        assertTrue(askedSecond.stream().allMatch(prompt -> prompt.startsWith("other ")), askedSecond.toString());
    }

    @Test void whatFailsIsRepairedWhereItWasAsked() {
        var broken = Collections.synchronizedList(new ArrayList<String>());
        second.answer(body -> {
            var prompt = body.at("/messages/0/content").asText();
            askedSecond.add(prompt);
            if (broken.contains(prompt)) return Reply.text(prompt);
            broken.add(prompt);
            return Reply.error(503, "overloaded", "too busy");
        });
        var draft = shared(ROWS).repair(1);

        assertAnswered(ROWS, draft.submit().results());
        assertEquals(2 * broken.size(), askedSecond.size());
        assertAnswered(ROWS, draft.submit().results());
        assertAnswered(ROWS + 1, shared(ROWS + 1).repair(1).submit().results());

        assertEquals(ROWS + 1, askedFirst.size() + broken.size());
    }

    @Test void aProviderThatRefusesIsNamedAndTriedAgainByTheNextRun() {
        second.on("POST /v1/batches", Fault.status(400).body(CLOSED));

        var said = Printed.stderr(() -> assertTrue(shared(loud(ROWS)).submit().results().counts()
            .get(Outcome.ERRORED) >= 4));

        assertTrue(said.contains("providers: submit: POST " + second.baseUrl() + "/batches: 400 closed; its share has "
            + "no answers until the next run asks it again\n"), said);
        long others = ROWS - askedFirst.size();
        assertTrue(said.matches("(?s)submitted shared-\\w+ to " + first.baseUrl() + " \\(20 requests, "
            + others + " of them shared out\\); kept in .+/shared-\\w+\nproviders: " + others + " of 20 requests go to "
            + second.baseUrl() + "\n.*"), said);
        assertTrue(said.contains(" failed with " + others + " requests unanswered; the next run asks again who refused "
            + "its share, and results().retry() or repair(1) sends again what else failed\n"), said);
        assertAnswered(ROWS, shared(ROWS).submit().results());
        assertEquals(ROWS, asked().size());
    }

    @Test void whatWasAnsweredBeforeIsSharedOutToNobody() {
        shared(ROWS).submit().results();

        var said = Printed.stderr(() -> shared(loud(3)).submit().results());

        assertTrue(said.matches("(?s).*attached to shared-\\w+ \\(3 requests, 3 of them answered before, submitted .*"),
            said);
    }

    @Test void aShareThatIsRefusedIsRepairedByNobodyElse() {
        second.on("POST /v1/batches", Fault.status(400).body(CLOSED), Fault.status(400).body(CLOSED));

        for (int run = 1; run <= 2; run++)
            assertEquals(Set.of("never submitted: shared out to " + second.baseUrl() + " (submit: POST "
                + second.baseUrl() + "/batches: 400 closed)"), errors(shared(ROWS).repair(2).submit().results()));
        assertAnswered(ROWS, shared(ROWS).repair(2).submit().results());

        assertEquals(ROWS, asked().size());
    }

    @Test void whatOfAShareIsSentAgainByHandIsPaidOnce() {
        second.on("POST /v1/batches", Fault.status(400).body(CLOSED));

        assertTrue(shared(ROWS).submit().results().retry().submit().results().failed().size() == 0);
        assertAnswered(ROWS, shared(ROWS).submit().results());

        assertEquals(ROWS, asked().size());
    }

    @Test void aShareIsCalledWhatItIs() {
        shared(ROWS).submit().results();

        assertEquals(List.of("shared", "shared-elsewhere"), folders());
    }

    /** The last version called it a retry. */
    @Test void aShareThatWasCalledARetryIsFoundAndPaidOnce() throws IOException {
        second.pause();
        shared(ROWS).submit();
        callRetry();
        second.resume();

        assertAnswered(ROWS, shared(ROWS).submit().results());
        assertAnswered(ROWS + 1, shared(ROWS + 1).submit().results());
        assertEquals(ROWS + 1, asked().size());
        assertEquals(List.of("shared", "shared", "shared-retry"), folders().stream()
            .filter(name -> !name.equals("shared-elsewhere")).toList());
    }

    private void callRetry() throws IOException {
        var share = Journal.all().filter(journal -> journal.manifest().isInstead()).findFirst().orElseThrow().dir();
        var draft = share.resolve(Journal.MANIFEST);
        var told = Files.readString(draft);
        Files.writeString(draft, told.replace("\"shared-elsewhere\"", "\"shared-retry\""));
        assertEquals(told.length() - "elsewhere".length() + "retry".length(), Files.size(draft));
        Files.move(share, share.resolveSibling(share.getFileName().toString().replace("elsewhere", "retry")));
    }

    private static List<String> folders() {
        return Journal.all().map(journal -> journal.folderName().replaceFirst("-\\w+$", "")).sorted().toList();
    }

    @Test void theRowsOfAShareThatIsRefusedSayWhyAsLongAsItIs() {
        second.onEvery(request -> request.equals("POST /v1/batches") ? Fault.status(400).body(CLOSED) : null);
        var why = "never submitted: shared out to " + second.baseUrl() + " (submit: POST " + second.baseUrl()
            + "/batches: 400 closed)";

        assertEquals(Set.of(why), errors(shared(ROWS).submit().results()));
        assertEquals(Set.of(why), errors(Sheaf.batch("shared").results()));
        second.answer(body -> Reply.error(400, "long", "too long"));
        second.onEvery(request -> null);

        assertEquals(Set.of("400 too long"), errors(shared(ROWS).submit().results()));
    }

    @Test void theRowsOfAShareWhoseProviderIsNotThereSayWhy() {
        second.close();

        assertEquals(Set.of("never submitted: shared out to " + second.baseUrl() + " (submit: cannot reach "
            + second.baseUrl() + " (connection refused); start a server or set OPENAI_BASE_URL)"),
            errors(shared(ROWS).submit().results()));
    }

    @Test void whereTheFirstWasNeverMetNoShareIsAskedAndTheSentenceSaysWhy() {
        first.close();

        var refusal = assertThrows(UncheckedIOException.class, () -> shared(ROWS).submit());

        assertEquals("submit: cannot reach " + first.baseUrl() + " (connection refused); start a server or set "
            + "OPENAI_BASE_URL; the other shares were not asked, for nobody knows which server that is",
            refusal.getMessage());
        assertEquals(List.of(), askedSecond);
    }

    @Test void aShareWhoseKeyIsNotSetAnyMoreKeepsNoOtherAnswerBack() {
        var there = second.baseUrl().replace("127.0.0.1", "0.0.0.0");      // not on this machine, as far as that tells
        second.on("POST /v1/batches", Fault.status(400).body(CLOSED));
        System.setProperty("SHEAF_API_KEY", "none-of-anybody");
        ask(ROWS).providers(share(first.baseUrl(), 0.5), share(there, 0.5)).submit();
        System.clearProperty("SHEAF_API_KEY");

        var results = ask(ROWS).provider(first.baseUrl()).submit().results();

        assertEquals(askedFirst.size(), results.succeeded().size());
        assertEquals(Set.of("never submitted: shared out to " + there.replaceAll("http://|/v1", "") + " (provider: no "
            + "key for " + there.replaceAll("http://|/v1", "") + "; set SHEAF_API_KEY)"), errors(results));
    }

    private static Set<String> errors(Results results) {
        return results.failed().stream().map(result -> result.error()).collect(Collectors.toSet());
    }

    @Test void whoComesBackIsNotToldThatWhatOthersAnsweredIsUnanswered() {
        shared(ROWS).submit().results();

        var said = Printed.stderr(() -> assertAnswered(ROWS, shared(loud(ROWS)).submit().results()));

        assertTrue(said.matches("attached to shared-\\w+ \\(" + ROWS + " requests, \\d+ of them shared out, "
            + "submitted [^)]+\\), nothing was sent; kept in .+\n"), said);
    }

    @Test void theWaitHasAnEndAndCancelStopsAll() {
        Stream.of(first, second).forEach(BatchServer::pause);
        var batch = shared(ROWS).submit();

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(100)));
        batch.cancel();
        Stream.of(first, second).forEach(BatchServer::resume);

        assertEquals(Status.CANCELLED, batch.await().status());
        assertEquals(ROWS, (long) batch.results().counts().get(Outcome.CANCELLED));
        assertEquals(List.of(), asked());
    }

    @Test void whatIsUploadedFirstIsSharedOutOnceItIsSubmitted() {
        shared(ROWS).upload();
        assertEquals(0, batches(first) + batches(second));

        assertAnswered(ROWS, shared(ROWS).submit().results());
        assertEquals(ROWS, asked().size());
    }

    @Test void threeProvidersAndRepeatsThatAreSentOnce() {
        var twice = Stream.concat(texts(ROWS).stream(), texts(ROWS).stream()).toList();

        var results = batch().model("echo").name("shared").quiet().prompts("{{value}}", rows(twice)).distinct()
            .providers(share(first.baseUrl(), 0.33), share(second.baseUrl(), 0.33), share(third.baseUrl(), 0.33))
            .submit().results();

        assertEquals(twice, results.stream().map(result -> result.text()).toList());
        assertEquals(ROWS, asked().size());
        assertTrue(Stream.of(askedFirst, askedSecond, askedThird).noneMatch(List::isEmpty), asked().toString());
    }

    @Test void whoeverSubmitsTheSameAtOnceSendsNothingTwice() throws InterruptedException {
        var threads = Stream.of(1, 2, 3).map(any -> new Thread(() ->
            assertAnswered(ROWS, shared(ROWS).submit().results()))).toList();
        threads.forEach(Thread::start);
        for (var thread : threads) thread.join(60_000);

        assertAnswered(ROWS, shared(ROWS).submit().results());
        assertEquals(ROWS, asked().size());
    }

    @Test void whoeverBeginsTheSameAtOnceInAnotherOrderTakesTheSharesOfTheFirst() throws InterruptedException {
        var said = Collections.synchronizedList(new ArrayList<List<String>>());
        var other = new Thread(() -> said.add(answers(reversed(ask(ROWS)).submit().results())));
        Sheaf.Data rows = () -> {
            other.start();                                     // once this one knows of no other
            RawClient.await(() -> isWaiting(other) || !asked().isEmpty());
            return rows(texts(ROWS)).open();
        };
        var one = new Thread(() -> said.add(answers(shared(batch().model("echo").name("shared").quiet()
            .prompts("{{value}}", rows)).submit().results())));

        one.start();
        one.join(60_000);
        other.join(60_000);

        assertEquals(List.of(texts(ROWS), texts(ROWS)), said);
        assertEquals(ROWS, asked().size());
    }

    /** Whether it waits for another to have done, and is not just between two steps. */
    private static boolean isWaiting(Thread thread) {
        return Stream.of(thread.getStackTrace()).map(StackTraceElement::getClassName)
            .anyMatch(FolderLock.class.getName()::equals);
    }

    @Test void whoWaitsForRoomKeepsItsSharesToo() {
        first.on("POST /v1/batches", Fault.status(429).body(QueueTest.FULL));
        var waiting = ask(1).providers(share(first.baseUrl(), 0.99), share(second.baseUrl(), 0.01)).submit();

        assertAnswered(1, ask(1).providers(share(second.baseUrl(), 0.99), share(first.baseUrl(), 0.01)).submit()
            .results());

        assertAnswered(1, waiting.results());
        assertEquals(List.of("echo row 1"), askedFirst);
        assertEquals(List.of(), askedSecond);
    }

    @Test void anEstimateKnowsWhatWasBegunInAnotherOrder() {
        shared(ROWS).submit().results();

        assertEquals(0, reversed(ask(ROWS)).estimate().toSend());
        assertEquals(0, reversed(ask(ROWS)).preview(1).estimate().toSend());
    }

    private Draft reversed(Draft draft) {
        return draft.providers(share(second.baseUrl(), 0.5).model("other"), share(first.baseUrl(), 0.5));
    }

    @Test void theResultsByNameAreThoseOfAll() {
        shared(ROWS).submit().await();

        assertAnswered(ROWS, Sheaf.batch("shared").results());
        assertEquals(ROWS, asked().size());
    }

    @Test void anEstimateHasEachShareAtItsOwnPrice() throws IOException {
        priced("echo,0,1000", "other,0,5000");
        var draft = shared(ROWS).maxTokens(10);

        var models = draft.estimate().models();

        assertEquals(List.of(first.baseUrl() + " echo", second.baseUrl() + " other"),
            models.stream().map(model -> model.provider() + " " + model.model()).toList());
        long mine = models.get(0).requests();
        assertTrue(mine >= 4 && mine <= ROWS - 4, draft.estimate().toString());
        assertEquals(ROWS, mine + models.get(1).requests());
        double most = mine * 0.01 + (ROWS - mine) * 0.05;
        assertEquals(most, draft.estimate().mostDollars().getAsDouble(), 1e-9);
        assertEquals(2, draft.estimate().parts());
        assertTrue(draft.estimate().toString().startsWith("provider "), draft.estimate().toString());
        assertEquals(ROWS + " requests in 2 parts; echo at " + first.baseUrl() + " (" + mine + "), other at "
            + second.baseUrl() + " (" + (ROWS - mine) + "); about " + draft.estimate().tokens()
            + " tokens of prompts; up to " + Messages.dollars(most), draft.preview(1).summary());
        assertEquals(0, asked().size());
    }

    @Test void aBudgetIsHeldToTheSumBeforeAnythingIsSent() throws IOException {
        priced("echo,0,1000", "other,0,5000");
        var draft = shared(ROWS).maxTokens(10);
        double most = draft.estimate().mostDollars().getAsDouble();

        var refusal = assertThrows(IllegalStateException.class, () -> draft.budget(most - 0.02).submit());

        assertTrue(refusal.getMessage().startsWith("budget: " + ROWS + " requests may cost " + Messages.dollars(most)
            + ", and " + Messages.dollars(most - 0.02) + " is given; the first 1"), refusal.getMessage());
        assertEquals(0, batches(first) + batches(second));
        assertAnswered(ROWS, draft.budget(most + 0.01).submit().results());
    }

    @Test void whatAShareStillHasToBeSentIsEstimatedAtItsPrice() throws IOException {
        priced("echo,0,1000", "other,0,5000");
        second.on("POST /v1/batches", Fault.status(400).body(CLOSED));
        shared(ROWS).maxTokens(10).submit();

        var left = shared(ROWS).maxTokens(10).estimate();

        assertEquals(List.of("other"), left.models().stream().map(model -> model.model()).toList());
        assertEquals(left.toSend() * 0.05, left.mostDollars().getAsDouble(), 1e-9);
        shared(ROWS).maxTokens(10).submit();
        assertEquals(0, shared(ROWS).maxTokens(10).estimate().toSend());
    }

    private void priced(String... lines) throws IOException {
        var prices = home.resolve("prices.csv");
        Files.writeString(prices, "model,input,output\n" + String.join("\n", lines) + "\n");
        System.setProperty("SHEAF_PRICES", prices.toString());
    }

    @Test void costAndBudgetAreOfAll() {
        var draft = shared(ROWS).maxTokens(10).price(0, 100_000);

        var results = draft.budget(2 * ROWS).submit().results();

        assertAnswered(ROWS, results);
        assertEquals(Set.of(first.baseUrl() + " echo", second.baseUrl() + " other"), results.cost().models().stream()
            .map(model -> model.provider() + " " + model.model()).collect(Collectors.toSet()));
        assertEquals(ROWS, results.cost().models().stream().mapToLong(model -> model.requests()).sum());
        assertAnswered(ROWS, draft.budget(2 * ROWS).submit().results());
        assertThrows(IllegalStateException.class, () -> shared(ROWS).name("dear").maxTokens(10).price(0, 100_000)
            .budget(ROWS / 2).submit());
        assertEquals(ROWS, asked().size());
    }

    @Test void aCommandLineSharesOutToo() {
        assertAnswered(ROWS, ask(ROWS).options("--share", first.baseUrl() + ",0.5", "--share=" + second.baseUrl()
            + ",0.5,other").submit().results());
        assertTrue(askedFirst.size() >= 4 && askedSecond.size() >= 4, askedFirst + " " + askedSecond);
        assertTrue(askedSecond.stream().allMatch(prompt -> prompt.startsWith("other ")), askedSecond.toString());
        assertEquals("options: --share groq is no NAME,PART, such as groq,0.5",
            assertThrows(IllegalArgumentException.class, () -> ask(1).options("--share", "groq")).getMessage());
    }

    @Test void sharesThatAreNoneAreRefusedBeforeAnythingIsSent() {
        var one = share(first.baseUrl(), 0.5);
        assertEquals("providers: the shares add up to 1.2, not to 1", refusal(one, share(second.baseUrl(), 0.7)));
        assertEquals("providers: the shares add up to 0.9, not to 1",            // 0.6 + 0.3 is 0.8999999999999999
            refusal(share(first.baseUrl(), 0.6), share(second.baseUrl(), 0.3)));
        assertEquals("providers: " + first.baseUrl() + " has two shares; give it one", refusal(one, one));
        assertEquals("share: -0.5 of groq is no part of 1",
            assertThrows(IllegalArgumentException.class, () -> share("groq", -0.5)).getMessage());
        assertEquals("provider: no key for groq; set GROQ_API_KEY", refusal(one, share("groq", 0.5)));
        assertEquals("fallback: the draft is shared out among several providers already; drop one of them",
            assertThrows(IllegalStateException.class, () -> shared(1).fallback(third.baseUrl()).submit()).getMessage());
        assertEquals(List.of(), first.requests());
    }

    private String refusal(Sheaf.ProviderShare one, Sheaf.ProviderShare other) {
        return assertThrows(IllegalStateException.class, () -> ask(1).providers(one, other).submit()).getMessage();
    }

    private Draft shared(int rows) { return shared(ask(rows)); }

    private Draft shared(Draft draft) {
        return draft.providers(share(first.baseUrl(), 0.5), share(second.baseUrl(), 0.5).model("other"));
    }

    private static Draft ask(int rows) { return loud(rows).quiet(); }

    private static Draft loud(int rows) {
        return batch().model("echo").name("shared").prompts("{{value}}", rows(texts(rows)));
    }

    private static List<String> texts(int rows) {
        return IntStream.rangeClosed(1, rows).mapToObj(n -> "row " + n).toList();
    }

    private static void assertAnswered(int rows, Results results) {
        assertEquals(texts(rows), answers(results));
    }

    private static List<String> answers(Results results) {
        return results.stream().map(result -> result.ok() ? result.text() : result.toString()).toList();
    }

    private List<String> asked() {
        return Stream.of(askedFirst, askedSecond, askedThird).flatMap(List::stream)
            .map(asked -> asked.replaceFirst("^(echo|other) ", "")).sorted().toList();
    }

    private static int batches(BatchServer server) {
        return RawClient.json(new RawClient(server::baseUrl).get("/batches")).get("data").size();
    }
}
