package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sql.table;
import static sheaf.Sql.toTable;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Postgres;
import sheaf.support.Printed;

/** Rows of databases, and answers in their tables: SQLite, DuckDB and, where it is installed, PostgreSQL. */
class SqlTablesTest {
    static Postgres postgres;
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @BeforeAll static void open() throws Exception { postgres = Postgres.startIfInstalled(); }

    @AfterAll static void close() {
        if (postgres != null) postgres.close();
    }

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    /** An empty database of this product. */
    private String url(String product) {
        if (!product.equals("postgresql")) return "jdbc:" + product + ":" + dir.resolve("shop.db");
        assumeTrue(postgres != null, "PostgreSQL is not installed here (apt-get install postgresql)");
        return postgres.emptyDatabase();
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb", "postgresql"})
    void aSecondRunDoublesNothing(String product) {
        var url = url(product);
        var results = draft("{{id}}", row("id", 1, "text", "a"), row("id", 2, "text", "it's")).submit().results();
        toTable(results, url, "my answers");
        toTable(results, url, "my answers");
        server.reply(text -> text + "!");
        toTable(draft("{{id}}", row("id", 2, "text", "b"), row("id", 3, "text", "c")).name("later").submit().results(),
            url, "my answers");

        assertEquals(List.of("1 a", "2 b!", "3 c!"), table(url, "select \"result.customId\" as id, \"result.text\" as "
            + "text from \"my answers\" order by id").open()
            .map(row -> row.get("id") + " " + row.get("text")).toList());
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb", "postgresql"})
    void valuesKeepTheirTypes(String product) {
        var url = url(product);
        toTable(draft("{{id}}",
            row("id", 1, "text", "a", "price", 1.25, "day", "2024-05-01", "local", "2024-05-01T12:30:00", "at",
                "2024-05-01T10:30:00Z", "yes", true, "tags", List.of("x", 1), "none", null, "long", 9007199254740993L),
            row("id", 2, "text", "b", "price", null, "day", null, "local", null, "at", null, "yes", null, "tags", null,
                "none", null, "long", 1)).submit().results(), url, "answers");

        var row = lines(table(url, "select price, day, local, \"at\", yes, tags, none, \"long\", \"result.text\" from "
            + "answers order by id")).get(0);
        assertEquals("{\"price\":1.25,\"day\":\"2024-05-01\",\"local\":\"2024-05-01T12:30:00\","
            + "\"at\":\"2024-05-01T10:30:00Z\",\"yes\":" + (product.equals("sqlite") ? "1" : "true")
            + ",\"tags\":\"[\\\"x\\\",1]\",\"none\":null,\"long\":9007199254740993,\"result.text\":\"a\"}", row);
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb", "postgresql"})
    void aNameIsQuoted(String product) {
        var url = url(product);
        toTable(draft("{{id}}", row("id", 1, "text", "a", "x\"; drop table t; --", 2)).submit().results(), url,
            "t\"; drop table t; --");

        assertEquals(List.of("{\"n\":1}"), lines(table(url, "select count(*) as n from \"t\"\"; drop table t; --\"")));
    }

    /** It is data, and read more than once. */
    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb", "postgresql"})
    void whatAQueryChangesDoesNotStay(String product) {
        var url = url(product);
        SqlTest.execute(url, "create table t (a int)", "insert into t values (1)");

        assertThrows(IllegalArgumentException.class, () -> lines(table(url, "delete from t")));
        assertEquals(List.of("{\"a\":1}"), lines(table(url, "select a from t order by a")));
    }

    /** As a shell's history has what is typed, and not what is in the environment. */
    @Test void aPasswordFromTheEnvironmentIsNotToldEither() {
        System.setProperty(JdbcUrl.PASSWORD, "hunter2");
        try {
            assertEquals("no ***", JdbcUrl.of("table", "jdbc:postgresql://h/d").told("no hunter2"));
        } finally {
            System.clearProperty(JdbcUrl.PASSWORD);
        }
    }

    @Test void nothingIsWrittenIfSomethingIsAtFault() {
        var url = url("sqlite");
        SqlTest.execute(url, "create table answers (\"id\", \"text\" check (\"text\" <> 'b'), \"result.customId\" "
            + "primary key, \"result.template\", \"result.model\", \"result.answeredBy\", \"result.outcome\", "
            + "\"result.text\", \"result.error\", \"result.batch\")");
        var results = draft("{{id}}", row("id", 1, "text", "a"), row("id", 2, "text", "b")).submit().results();

        var refused = assertThrows(IllegalArgumentException.class, () -> toTable(results, url, "answers"));

        assertTrue(refused.getMessage().startsWith("toTable: "), refused.getMessage());
        assertEquals(List.of("{\"n\":0}"), lines(table(url, "select count(*) as n from answers")));
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb"})
    void columnsThatDifferOnlyInCaseAreRefusedBeforeTheTableIsMade(String product) {
        var url = url(product);
        var results = draft("{{id}}", row("id", 1, "text", "a", "Text", "b")).submit().results();

        assertEquals("toTable: the columns text and Text differ only in case, which is nothing to SQLite and DuckDB; "
            + "write a file by toCsv or toParquet, or into PostgreSQL",
            assertThrows(IllegalArgumentException.class, () -> toTable(results, url, "t")).getMessage());
        SqlTest.execute(url, "create table t (a int)");
    }

    @Test void postgresTellsThemApart() {
        var url = url("postgresql");
        toTable(draft("{{id}}", row("id", 1, "text", "a", "Text", "b")).submit().results(), url, "t");

        assertEquals(List.of("{\"text\":\"a\",\"Text\":\"b\"}"), lines(table(url, "select text, \"Text\" from t "
            + "order by 1")));
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb"})
    void aTableMayHaveAColumnInAnotherCase(String product) {
        var url = url(product);
        SqlTest.execute(url, "create table t (\"ID\" bigint, \"Text\" varchar, \"RESULT.CUSTOMID\" varchar primary "
            + "key, \"result.template\" varchar, \"result.model\" varchar, \"result.answeredBy\" varchar, "
            + "\"result.outcome\" varchar, \"result.text\" varchar, \"result.error\" varchar, \"result.batch\" "
            + "varchar)");
        toTable(draft("{{id}}", row("id", 1, "text", "a")).submit().results(), url, "t");

        assertEquals(List.of("{\"ID\":1,\"Text\":\"a\",\"result.text\":\"a\"}"),
            lines(table(url, "select ID, \"Text\", \"result.text\" from t order by 1")));
    }

    @Test void aTableThatLacksAColumnIsRefused() {
        var url = url("sqlite");
        toTable(draft("{{id}}", row("id", 1, "text", "a")).submit().results(), url, "answers");

        assertEquals("toTable: the table \"answers\" has no column more; add it, or give another table",
            assertThrows(IllegalArgumentException.class, () -> toTable(draft("{{id}}", row("id", 1, "text", "a",
                "more", 1)).submit().results(), url, "answers")).getMessage());
    }

    /** It would be rounded. */
    @ParameterizedTest @ValueSource(strings = {"duckdb", "postgresql"})
    void aValueThatAColumnDoesNotHoldIsRefused(String product) {
        var url = url(product);
        server.reply(text -> "2024-05-01");
        toTable(draft("{{id}}", row("id", 1, "text", "a", "n", 1, "price", 1.5)).submit().results(), url, "t");
        server.reply(text -> text);
        toTable(draft("{{id}}", row("id", 2, "text", "unknown", "n", null, "price", 2)).submit().results(), url, "t");

        var real = product.equals("duckdb") ? "DOUBLE" : "DOUBLE PRECISION";
        assertEquals("toTable: the table \"t\" does not hold these results: id is BIGINT and would have to be "
            + (product.equals("duckdb") ? "VARCHAR" : "TEXT") + ", n is BIGINT and would have to be " + real
            + "; change that there, or give another table", assertThrows(IllegalArgumentException.class, () ->
                toTable(draft("{{id}}", row("id", "x", "text", "b", "n", 1.5, "price", 1)).submit().results(), url,
                    "t")).getMessage());
        assertEquals(List.of("{\"id\":1,\"n\":1,\"price\":1.5,\"result.text\":\"2024-05-01\"}",
            "{\"id\":2,\"n\":null,\"price\":2.0,\"result.text\":\"unknown\"}"),
            lines(table(url, "select id, n, price, \"result.text\" from t order by id")));
    }

    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb", "postgresql"})
    void aTableWithAnotherKeyIsRefused(String product) {
        var url = url(product);
        toTable(draft("{{id}}", row("id", 1, "text", "a")).submit().results(), url, "answers");
        var ofTwo = draft("{{id}}", row("id", 1, "text", "a")).model("m", "n").submit().results();

        assertEquals("toTable: the table \"answers\" has no key of result.customId, result.template, result.model, by "
            + "which these results are told apart; give another table",
            assertThrows(IllegalArgumentException.class, () -> toTable(ofTwo, url, "answers")).getMessage());
    }

    @Test void halfACharacterIsASentence() {
        assertEquals("toTable: \"a\ud83d\" in column text holds half a character, a lone surrogate, which a database "
            + "cannot; use toJsonl(...)", assertThrows(IllegalStateException.class, () ->
                toTable(draft("{{id}}", row("id", 1, "text", "a\ud83d")).submit().results(), url("sqlite"), "t"))
            .getMessage());
    }

    /** Both count from request-1. */
    @Test void twoBatchesWithoutIdsOfTheirOwnDoNotWriteOverOneAnother() {
        var url = url("sqlite");
        var first = draft("", row("text", "a")).name("first").submit().results();
        toTable(first, url, "answers");
        toTable(first, url, "answers");

        assertEquals("toTable: \"answers\" has answers of the batch first, whose ids are request-1 and so on too; give "
            + "ids of your own by customId, or another table", assertThrows(IllegalStateException.class, () ->
                toTable(draft("", row("text", "b")).name("second").submit().results(), url, "answers")).getMessage());
        assertEquals(List.of("{\"result.text\":\"a\"}"), lines(table(url, "select \"result.text\" from answers")));
    }

    @Test void eachModelsAnswerIsARow() {
        var url = url("sqlite");
        var results = draft("{{id}}", row("id", 1, "text", "a")).model("m", "n").submit().results();
        toTable(results, url, "answers");
        toTable(results, url, "answers");

        assertEquals(List.of("{\"result.model\":\"m\"}", "{\"result.model\":\"n\"}"),
            lines(table(url, "select \"result.model\" from answers order by 1")));
    }

    @Test void anotherDatabaseIsNotWrittenTo() {
        var results = draft("{{id}}", row("id", 1, "text", "a")).submit().results();

        assertEquals("toTable: writes to PostgreSQL, SQLite and DuckDB, and jdbc:mysql://host/shop is none of them; "
            + "for another, write a CSV or Parquet file and load that",
            assertThrows(IllegalArgumentException.class, () ->
                toTable(results, "jdbc:mysql://root:hunter2@host/shop?password=hunter2", "t")).getMessage());
    }

    @Test void whatPostgresRefusesIsASentence() {
        var url = url("postgresql");
        SqlTest.execute(url, "create table t (\"id\" int, \"text\" text check (\"text\" <> 'b'), \"result.customId\" "
            + "text primary key, \"result.template\" text, \"result.model\" text, \"result.answeredBy\" text, "
            + "\"result.outcome\" text, \"result.text\" text, \"result.error\" text, \"result.batch\" text)");

        assertTrue(refusal(url, "b").startsWith("toTable: ERROR: new row for relation \"t\" violates check"),
            refusal(url, "b"));
        assertEquals("toTable: a<U+0000>b in column text holds a NUL character, which PostgreSQL cannot; use "
            + "toJsonl(...)", refusal(url, "a\0b"));
        assertEquals(List.of("{\"t\":\"10:00:00+02\"}"),
            lines(table(url, "select '10:00:00+02'::timetz t order by 1")));
    }

    @ParameterizedTest @ValueSource(strings = {"UTC", "Europe/Berlin"})
    void timesInAnArrayAreTheSameOnEachMachine(String zone) {
        var url = url("postgresql");
        var here = TimeZone.getDefault();
        TimeZone.setDefault(TimeZone.getTimeZone(zone));
        try {
            assertEquals(List.of("{\"a\":[\"2024-05-01T10:30:00Z\",null]}"), lines(table(url,
                "select array['2024-05-01 12:30+02'::timestamptz, null] as a order by 1")));
            // an hour that Berlin's clocks skip
            assertEquals(List.of("{\"t\":[[\"2024-03-31T02:30:00\"],[\"-0043-03-15T12:00:00\"]],\"i\":"
                + "[[\"2024-03-31T01:30:00Z\"]],\"d\":[\"-0043-03-15\",null]}"), lines(table(url,
                "select array[array['2024-03-31 02:30'::timestamp], array['0044-03-15 12:00 BC'::timestamp]] as t, "
                    + "array[array['2024-03-31 01:30+00'::timestamptz]] as i, "
                    + "array['0044-03-15 BC'::date, null] as d order by 1")));
        } finally {
            TimeZone.setDefault(here);
        }
    }

    private String refusal(String url, String text) {
        return assertThrows(RuntimeException.class, () ->
            toTable(draft("{{id}}", row("id", 1, "text", text)).submit().results(), url, "t")).getMessage();
    }

    @Test void rowsOfPostgresComeTyped() {
        var url = url("postgresql");
        SqlTest.execute(url, "create table reviews (id int, text text, price numeric(9,2), at timestamptz, day date, "
            + "tags text[], doc jsonb, photo bytea)", "insert into reviews values (1, 'a', 1.50, "
            + "'2024-05-01 12:30+02', '2024-05-01', '{x,y}', '{\"a\": [1]}', null)");

        assertEquals(List.of("{\"id\":1,\"text\":\"a\",\"price\":1.50,\"at\":\"2024-05-01T10:30:00Z\","
            + "\"day\":\"2024-05-01\",\"tags\":[\"x\",\"y\"],\"doc\":{\"a\":[1]}}"),
            lines(table(url, "select id, text, price, at, day, tags, doc from reviews order by id")));
        assertEquals("table: column photo holds bytes (a BLOB), which are no text; leave it out, or have the query "
            + "make a text of it, as base64 or hex", assertThrows(IllegalArgumentException.class, () ->
                lines(table(url, "select * from reviews order by id"))).getMessage());
        assertEquals("table: ERROR: column \"txt\" does not exist; Hint: Perhaps you meant to reference the column "
            + "\"reviews.text\".", assertThrows(IllegalArgumentException.class, () ->
            lines(table(url, "select txt from reviews order by id"))).getMessage());
    }

    /** What is kept, said and reported of a batch may be read by others. */
    @Test void aPasswordIsWrittenDownNowhere() throws IOException {
        var url = url("postgresql") + "&password=hunter2";
        SqlTest.execute(url, "create table reviews (text text)", "insert into reviews values ('a')");
        var said = Printed.stderr(() -> {
            var results = batch().provider(Provider.of(server.baseUrl())).model("m")
                .prompts("{{text}}", table(url, "select text from reviews")).submit().results();
            results.toReport(dir.resolve("report.json"));
            toTable(results, url, "answers");
            assertThrows(IllegalArgumentException.class, () -> lines(table(url, "select x")));
        });

        assertTrue(said.contains("table: the query has no ORDER BY"), said);
        assertFalse(said.contains("hunter2") || said.contains("jdbc:"), said);
        try (var files = Files.walk(dir)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                assertFalse(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1)
                    .contains("hunter2"), file.toString());
        }
    }

    /** The driver takes them for a part of the host's name, and asks the network where that is. */
    @Test void userAndPasswordMayStandBeforeTheHost() {
        var url = url("postgresql").replace("//", "//ana:hunter%402@").replace("?user=ana", "?connectTimeout=5");

        assertEquals(List.of("{\"who\":\"ana\"}"), lines(table(url, "select current_user as who order by 1")));
    }

    /** Whoever opens one that is not there makes it, and is told of a table instead. */
    @ParameterizedTest @ValueSource(strings = {"sqlite", "duckdb"})
    void aDatabaseThatIsNotThereIsNotMadeByReading(String product) {
        var file = dir.resolve("no.db");

        var refused = assertThrows(IllegalArgumentException.class, () ->
            lines(table("jdbc:" + product + ":" + file, "select 1 order by 1")));

        assertEquals("table: no file " + file + " (looked at " + file + ")", refused.getMessage());
        assertFalse(Files.exists(file));
    }

    @Test void aServerThatIsNotThereShowsNoPassword() {
        var refused = assertThrows(UncheckedIOException.class, () ->
            lines(table("jdbc:postgresql://ana:hunter2@localhost:1/shop", "select 1 order by 1")));

        assertEquals("table: cannot open jdbc:postgresql://localhost:1/shop (Connection to localhost:1 refused. Check "
            + "that the hostname and port are correct and that the postmaster is accepting TCP/IP connections.)",
            refused.getMessage());
        for (Throwable e = refused; e != null; e = e.getCause()) assertFalse(e.toString().contains("hunter2"));
    }

    @SafeVarargs private Draft draft(String id, Map<String, Object>... rows) {
        var draft = batch().provider(Provider.of(server.baseUrl())).model("m").quiet()
            .prompts("{{text}}", rows(List.of(rows)));
        return id.isEmpty() ? draft : draft.customId(id);
    }

    private static Map<String, Object> row(Object... pairs) {
        var row = new LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) row.put((String) pairs[i], pairs[i + 1]);
        return row;
    }

    private static List<String> lines(Data data) {
        try (Stream<Map<String, Object>> rows = data.open()) {
            return rows.map(Json::text).toList();
        }
    }
}
