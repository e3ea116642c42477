package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;
import static sheaf.Sql.parquet;
import static sheaf.Sql.sql;
import static sheaf.Sql.table;
import static sheaf.Sql.toParquet;

import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** Rows of SQL and Parquet files, and answers as a Parquet file. */
class SqlTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    @Test void rowsOfAParquetFileComeInItsOrderUnderItsNames() {
        var reviews = reviews();

        assertEquals(List.of("{\"id\":1,\"text\":\"fine\"}", "{\"id\":2,\"text\":null}", "{\"id\":3,\"text\":\"\"}"),
            lines(parquet(reviews)));
        assertEquals("Data[reviews.parquet: id, text]", parquet(reviews).toString());
        assertEquals(List.of("{\"n\":3}"), lines(sql("select count(*) as n from '" + reviews + "'")));
    }

    /** As a person writes them, and as JSON has them. */
    @Test void aValueIsWhatJsonWouldSay() {
        var row = lines(sql("""
            select 1.50::decimal(9,2) as price, 12345678.0::double as large, 2::hugeint as huge, true as yes,
                null as none,
                date '2024-05-01' as day, timestamp '2024-05-01 12:30:00' as local, time '10:00' as clock,
                timestamptz '2024-05-01 12:30:00+02' as instant, [1,2] as list, {'x': 1, 'days': [date '2024-01-01']}
                as struct,
                map {'b': 1, 'a': 2} as map, '{"a": [1]}'::json as json, 'z'::enum('z') as label,
                uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8' as uuid, interval 3 days as span""")).get(0);

        assertEquals("{\"price\":1.50,\"large\":12345678,\"huge\":2,\"yes\":true,\"none\":null,"
            + "\"day\":\"2024-05-01\",\"local\":\"2024-05-01T12:30:00\",\"clock\":\"10:00:00\","
            + "\"instant\":\"2024-05-01T10:30:00Z\",\"list\":[1,2],\"struct\":{\"x\":1,\"days\":[\"2024-01-01\"]},"
            + "\"map\":{\"b\":1,\"a\":2},\"json\":{\"a\":[1]},\"label\":\"z\","
            + "\"uuid\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\",\"span\":\"3 days\"}", row);
    }

    @Test void yearsBeforeChristKeepTheirSign() {
        assertEquals(List.of("{\"d\":\"-0043-03-15\",\"t\":\"-0043-03-15T12:00:00\",\"i\":\"-0043-03-15T12:00:00Z\","
            + "\"days\":[\"0000-02-29\",null],\"times\":[\"-0043-03-15T12:00:00.5\"],\"s\":{\"t\":"
            + "\"-0043-03-15T12:00:00\"}}"), lines(sql("""
            select date '0044-03-15 (BC)' as d, timestamp '0044-03-15 (BC) 12:00:00' as t,
                timestamptz '0044-03-15 (BC) 12:00:00+00' as i, [date '0001-02-29 (BC)', null] as days,
                [timestamp '0044-03-15 (BC) 12:00:00.5'] as times,
                {'t': timestamp '0044-03-15 (BC) 12:00:00'} as s""")));
    }

    @Test void bytesAreRefusedByASentence() {
        assertRefused("sql: column photo holds bytes (a BLOB), which are no text; leave it out, or have the query make "
            + "a text of it, as base64 or hex", sql("select 1 as id, 'x'::blob as photo"));
        execute("jdbc:sqlite:" + dir.resolve("b.db"), "create table t (photo)", "insert into t values (x'00')");
        assertRefused("table: column photo holds bytes (a BLOB), which are no text; leave it out, or have the query "
            + "make a text of it, as base64 or hex", table("jdbc:sqlite:" + dir.resolve("b.db"), "select * from t"));
    }

    @Test void whatIsWrongWithAQueryIsASentence() {
        assertRefused("sql: Referenced column \"txt\" not found in FROM clause!; Candidate bindings: \"id\"",
            sql("select txt from (select 1 as id)"));
        assertRefused("sql: the query brings no rows; it has to be a SELECT", sql("create table t as select 1 as x"));
        assertRefused("sql: two columns are named id; name one of them by AS", sql("select 1 as id, 2 as id"));
        assertEquals("sql: the query is empty",
            assertThrows(IllegalArgumentException.class, () -> sql(" ")).getMessage());
        assertEquals("parquet: no file no.parquet (looked at " + Path.of("no.parquet").toAbsolutePath() + ")",
            assertThrows(IllegalArgumentException.class, () -> parquet("no.parquet")).getMessage());
    }

    @Test void aFileThatIsNoParquetIsRefusedByItsName() throws IOException {
        var file = Files.writeString(dir.resolve("no[1].parquet"), "id,text\n1,fine\n2,bad\n");

        var refused = assertThrows(IllegalArgumentException.class, () -> lines(parquet(file))).getMessage();

        assertTrue(refused.startsWith("parquet: ") && refused.contains("no[1].parquet"), refused);
    }

    @Test void aQueryThatFailsOnItsWaySaysWhy() {
        assertEquals("sql: Could not convert string 'x' to INT32", refusal(sql("select 'x'::int as text")));
        assertEquals("table: boom", refusal(table("jdbc:duckdb::memory:shop",
            "select if(i = 9, error('boom'), i) as id from range(10) t(i) order by i")));
    }

    private static String refusal(Data data) {
        return assertThrows(IllegalArgumentException.class, () -> lines(data)).getMessage();
    }

    @Test void whatIsReadToItsEndLeavesNothingOnTheDisk() throws IOException {
        var before = folders();
        sql("select * from range(10)").open().forEach(row -> {});
        toParquet(draft(rows(row("text", "a"))).quiet().submit().results(), out());

        assertEquals(before, folders());
    }

    private static List<Path> folders() throws IOException {
        try (var files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            var ours = "sheaf-" + ProcessHandle.current().pid() + "-";
            return files.filter(file -> file.getFileName().toString().startsWith(ours)).sorted().toList();
        }
    }

    @Test void severalFilesAreOneTable() {
        reviews();
        DuckDbFile.write(dir.resolve("reviews2.parquet"), "select 4 as id, 'last' as text");

        assertEquals(List.of(1, 2, 3, 4), parquet(dir + "/reviews*.parquet").open().map(row -> row.get("id")).toList());
    }

    /** A second run must find the batch of the first. */
    @Test void theSameRowsAreTheSameBatch() throws IOException {
        var reviews = dir.resolve("reviews.parquet");
        DuckDbFile.write(reviews, "select i as id, 'text ' || i as text from range(300000) t(i)");
        var draft = draft(sql("select * from '" + reviews + "' where id % 1000 = 7"));
        var first = draft.submit();
        var err = Printed.stderr(() -> assertEquals(first.id(), draft.submit().id()));

        assertTrue(err.startsWith("attached to "), err);
        assertEquals("reviews", first.name());
        assertEquals(300, first.results().size());
        assertEquals(first.id(), draft(sql("select * from '" + reviews + "' where id % 1000 = 7 order by id")).submit()
            .id());
        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    @Test void aQueryWithoutAnOrderSaysSo() {
        var reviews = reviews();
        var note = "sql: the query has no ORDER BY, so its rows may come in another order next time, and a second run "
            + "would be another batch; end it with ORDER BY\n";

        assertEquals(note, noted("select text, count(*) as id from '" + reviews + "' group by text"));
        assertEquals("", noted("select text, count(*) as id from '" + reviews + "' group by text order by 1"));
        assertEquals("", noted("select id, coalesce(text, '') as text from '" + reviews + "' limit 2"));
    }

    private String noted(String query) {
        return Printed.stderr(() -> draft(sql("select coalesce(text, '') as text, id from (" + query + ") order by id"))
            .preview(1)).isEmpty() ? Printed.stderr(() -> orderNote(query)) : "a note where there is an order";
    }

    private static void orderNote(String query) {
        try (var rows = Query.of("sql", DuckDb.IN_MEMORY, query).rows().open(System.err::println)) {
            rows.count();
        }
    }

    @ParameterizedTest @ValueSource(strings = {
        "select * from 'a.parquet'", "from 'a.parquet' select x, y where z in (select 1 from b join c using (d))",
        "select * from read_csv('a.csv') -- join\n where x = 'group by'", 
        "select a, b from t as r where r.x > 1 limit 5;",
        "SELECT 1, 2 from \"a join b\" limit 3"})
    void rowsOfOneFileHaveItsOrder(String query) { assertTrue(new SqlText(query).isOfOneFile(), query); }

    @ParameterizedTest @ValueSource(strings = {
        "select * from a, b", "select * from a join b using (c)", "select distinct a from b", 
        "select a from b group by a",
        "select 1 union all select 2", "select * from (select * from a order by b)", "select 1",
        "select row_number() over (partition by a) from b", "pivot a on b"})
    void whatIsMadeOfRowsHasNone(String query) {
        assertTrue(!new SqlText(query).isOfOneFile() && !new SqlText(query).isOrdered(), query);
    }

    @Test void aLongTextInAQueryIsNoMatter() {
        assertTrue(new SqlText("select '" + "it''s ".repeat(20_000) + "' from a where b = \"" + "x".repeat(100_000)
            + "\"").isOfOneFile());
    }

    @Test void aQueryIsCalledAfterItsTable() {
        assertEquals("reviews.parquet", new SqlText("select * from '/data/reviews.parquet'").name());
        assertEquals("part-.parquet", new SqlText("FROM read_parquet('s3://b/part-*.parquet')").name());
        assertEquals("reviews", new SqlText("select (select 1) from public.reviews r").name());
        assertEquals("My Table", new SqlText("select * from \"My Table\"").name());
        assertEquals("query", new SqlText("select 1").name());
    }

    @Test void answersComeBackTyped() {
        var rows = new ArrayList<Map<String, Object>>();
        rows.add(row("text", "a", "n", 1, "price", 1.5, "day", "2024-05-01", "at", "2024-05-01T12:30:00", "tags",
            List.of("x"), "who", Map.of("name", "Ana"), "mixed", 1, "zip", "01234", "ok", true));
        rows.add(row("text", "b", "n", 2, "price", 2, "day", "2024-05-02", "at", "2024-05-01T12:31:00", "tags",
            List.of(), "who", Map.of("name", "Bo"), "mixed", "one", "zip", "00001", "ok", null));
        var results = draft(rows(rows)).submit().results();

        toParquet(results, out());

        assertEquals("text VARCHAR, n BIGINT, price DOUBLE, day DATE, at TIMESTAMP, tags VARCHAR[], "
            + "who STRUCT(\"name\" VARCHAR), mixed VARCHAR, zip VARCHAR, ok BOOLEAN, result.customId VARCHAR, "
            + "result.template VARCHAR, result.model VARCHAR, result.answeredBy VARCHAR, result.outcome VARCHAR, "
            + "result.text VARCHAR, result.error VARCHAR", types(out()));
        assertEquals("{\"text\":\"b\",\"n\":2,\"price\":2.0,\"day\":\"2024-05-02\",\"at\":\"2024-05-01T12:31:00\","
            + "\"tags\":[],\"who\":{\"name\":\"Bo\"},\"mixed\":\"one\",\"zip\":\"00001\",\"ok\":null,"
            + "\"result.customId\":\"request-2\",\"result.template\":\"prompt-1\",\"result.model\":\"m\","
            + "\"result.answeredBy\":\"m\",\"result.outcome\":\"succeeded\",\"result.text\":\"b\","
            + "\"result.error\":null}", lines(parquet(out())).get(1));
    }

    /** A number of many digits, one that stands among texts, and what only looks like a time. */
    @Test void whatIsWrittenHasAllItsDigits() {
        var long1 = new BigDecimal("12345678901234567890.123");
        var results = draft(rows(List.of(
            row("text", "a", "long", long1, "any", long1, "cents", new BigDecimal("1.50"), "in", List.of(long1, 1),
                "at", "2024-05-01T12:30:00.123456789", "day", "0000-05-01", "leap", "2016-12-31T23:59:60Z",
                "small", "2024-05-01t12:30:00", "minute", "2024-05-01T12:30Z"),
            row("text", "b", "long", 1.5, "any", "x", "cents", "none", "in", List.of())))).quiet().submit().results();

        toParquet(results, out());

        assertEquals("{\"text\":\"a\",\"long\":12345678901234567890.123,\"any\":\"12345678901234567890.123\","
            + "\"cents\":\"1.50\",\"in\":[12345678901234567890.123,1.000],"
            + "\"at\":\"2024-05-01T12:30:00.123456789\",\"day\":\"0000-05-01\",\"leap\":\"2016-12-31T23:59:60Z\","
            + "\"small\":\"2024-05-01t12:30:00\",\"minute\":\"2024-05-01T12:30Z\"}",
            lines(parquet(out())).get(0).replaceFirst(",\"result.*", "}"));
    }

    /** As pandas writes its index. */
    @Test void aColumnWithoutANameIsWritten() throws IOException {
        var rows = csv(Files.writeString(dir.resolve("in.csv"), ",text\n7,a\n"));
        toParquet(draft(rows).quiet().submit().results(), out());

        assertTrue(lines(parquet(out())).get(0).startsWith("{\"column0\":\"7\",\"text\":\"a\","));
    }

    @Test void halfACharacterIsASentence() {
        var results = draft(rows(row("text", "a\ud83d", "in", List.of("b")))).quiet().submit().results();
        var inside = draft(rows(row("text", "a", "in", List.of("b\ud83d")))).quiet().submit().results();

        assertEquals("toParquet: \"a\ud83d\" in column text holds half a character, a lone surrogate, which Parquet "
            + "cannot; use toJsonl(...)",
            assertThrows(IllegalStateException.class, () -> toParquet(results, out())).getMessage());
        assertTrue(assertThrows(IllegalStateException.class, () -> toParquet(inside, out())).getMessage()
            .startsWith("toParquet: \"b"));
    }

    @Test void aFileIsWrittenAnewUnlessItIsAnothers() throws IOException {
        var results = draft(csv(Files.writeString(dir.resolve("in.csv"), "text\na\nb\n"))).submit().results();
        toParquet(results, out(), "text", "result.text");
        toParquet(results, out(), "text");

        assertEquals(List.of("{\"text\":\"a\"}", "{\"text\":\"b\"}"), lines(parquet(out())));

        Files.writeString(Path.of(out()), "edited");
        assertEquals("toParquet: " + out() + " was changed since it was written; move it or give another name",
            assertThrows(IllegalStateException.class, () -> toParquet(results, out())).getMessage());
        toParquet(results.overwriting(), out());
        assertEquals(2, parquet(out()).open().count());
        assertEquals("toParquet: no column nothing; there are: text, result.customId, result.template, result.model, "
            + "result.answeredBy, result.outcome, result.text, result.error",
            assertThrows(IllegalArgumentException.class, () -> toParquet(results, out(), "nothing")).getMessage());
    }

    @Test void aDatabaseThatCannotBeOpenedShowsNoPassword() {
        var url = "jdbc:postgresql://ana:hunter2@localhost:1/shop?password=s3cr%21t&user=ana";
        var database = JdbcUrl.of("table", url);

        assertEquals("jdbc:postgresql://localhost:1/shop", database.shown());
        assertEquals("at jdbc:postgresql://localhost:1/shop: *** *** *** no",
            database.told("at " + url + ": hunter2 s3cr%21t s3cr!t no"));
        assertEquals("jdbc:oracle:thin:localhost:1521/x", JdbcUrl.of("table",
            "jdbc:oracle:thin:ana/hunter2@localhost:1521/x").shown());
        assertEquals("table: no JDBC driver for jdbc:nosuch: is on the class path; add it by //DEPS "
            + "GROUP:ARTIFACT:VERSION", assertThrows(IllegalArgumentException.class, () ->
                lines(table("jdbc:nosuch://x?password=hunter2", "select 1"))).getMessage());
        assertEquals("table: the database is no JDBC URL, such as jdbc:postgresql://localhost/shop or "
            + "jdbc:sqlite:shop.db",
            assertThrows(IllegalArgumentException.class, () -> table("shop.db", "select 1")).getMessage());
    }

    @Test void sqliteIsReadInItsOwnTypes() {
        var url = "jdbc:sqlite:" + dir.resolve("shop.db");
        execute(url, "create table reviews (id integer, text text, day date, price real)",
            "insert into reviews values (2, 'b', '2024-05-01', 1.5), (1, 'a', null, 2)");

        assertEquals(List.of("{\"id\":1,\"text\":\"a\",\"day\":null,\"price\":2.0}",
            "{\"id\":2,\"text\":\"b\",\"day\":\"2024-05-01\",\"price\":1.5}"),
            lines(table(url, "select * from reviews order by id")));
    }

    private void assertRefused(String sentence, Data data) {
        assertEquals(sentence, assertThrows(IllegalArgumentException.class, () -> lines(data)).getMessage());
    }

    private Path reviews() {
        return DuckDbFile.write(dir.resolve("reviews.parquet"),
            "select * from (values (1, 'fine'), (2, null), (3, '')) t(id, text)");
    }

    private Draft draft(Data data) {
        return batch().provider(Provider.of(server.baseUrl())).model("m").prompts("{{text}}", data);
    }

    private String out() { return dir.resolve("out.parquet").toString(); }

    private static String types(String file) {
        return sql("describe select * from '" + file + "'").open()
            .map(column -> column.get("column_name") + " " + column.get("column_type"))
            .collect(Collectors.joining(", "));
    }

    private static Map<String, Object> row(Object... pairs) {
        var row = new LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) row.put((String) pairs[i], pairs[i + 1]);
        return row;
    }

    private static List<String> lines(Data data) {
        try (var rows = data.open()) {
            return rows.map(Json::text).toList();
        }
    }

    static void execute(String url, String... statements) {
        try (var connection = DriverManager.getConnection(url); var statement = connection.createStatement()) {
            for (var sql : statements) statement.execute(sql);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    /** Files that DuckDB writes. */
    private static final class DuckDbFile {
        static Path write(Path file, String query) {
            execute("jdbc:duckdb:", "copy (" + query + ") to '" + file + "' (format parquet)");
            return file;
        }
    }
}
