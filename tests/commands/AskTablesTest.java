package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Excel;
import sheaf.Sql;
import sheaf.server.BatchServer;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.support.Xlsx;

/** The command ask with tables that the library itself does not read: who reads them, and what then comes of it. */
class AskTablesTest {
    final BatchServer server = BatchServer.start();
    @TempDir Path dir;
    @RegisterExtension final Commands environment = new Commands(() -> dir.resolve("home"), () -> server);

    /** DuckDB and Excel are downloads of their own, so other commands have them. */
    @ParameterizedTest @CsvSource(delimiter = '|', value = {
        "sql | -d a.parquet", "sql | -d a.csv -o a.parquet", "sql | --sql q", "sql | -d jdbc:sqlite:a.db --sql q",
        "sql | -d a.parquet --rehearse", "excel | -d a.xlsx", "excel | -d a.csv -o a.xlsx",
        "sql | -d a.xlsx --rehearse",
        "sql | -d a.xlsx -o a.parquet"})
    void theOptionStartsTheCommandThatReadsIt(String command, String options) throws Exception {
        var launcher = dir.resolve("a launcher");
        Files.writeString(launcher, "#!/bin/sh\nprintf '[%s]' \"$@\"\nexit 3\n");
        assertTrue(launcher.toFile().setExecutable(true));
        var words = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.commands.ask", "-m", "m"));
        words.addAll(List.of(options.split(" ")));
        var builder = new ProcessBuilder(words);
        builder.environment().put("SHEAF_LAUNCHER", "'" + launcher + "'");
        var process = builder.start();

        assertEquals("[" + command + "][-m][m][" + options.replace(" ", "][") + "]",
            new String(process.getInputStream().readAllBytes(), UTF_8));
        assertEquals(3, process.waitFor());
    }

    /** As where ask was started by an address, and there is no clone. */
    @Test void whereThereIsNoLauncherItSaysWhatToType() throws Exception {
        var builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.commands.ask", "-m", "m", "-d", "a.parquet");
        builder.environment().put("SHEAF_LAUNCHER", dir.resolve("nothing").toString());
        var process = builder.redirectErrorStream(true).start();

        assertEquals("ask: what is given is for the command sql, which cannot be started from here; give it the same, "
            + "as in jbang sql@owner/repo\n", new String(process.getInputStream().readAllBytes(), UTF_8));
        assertEquals(2, process.waitFor());
    }

    @Test void aParquetFileIsReadAndWritten() {
        var run = sql("-m", "echo", "-p", "{{text}}?", "-d", reviews(), "-o", at("out.parquet"), "--columns",
            "id,result.text");
        var again = sql("-m", "echo", "-p", "{{text}}?", "-d", reviews(), "-o", at("out.parquet"));

        assertEquals(0, run.status(), run.err());
        assertTrue(run.err().endsWith("wrote " + at("out.parquet") + " (2 succeeded; 2 tokens in, 2 out)\n"),
            run.err());
        assertTrue(again.err().startsWith("attached to "), again.err());
        assertEquals(List.of("1 fine?", "2 bad?"), Sql.parquet(at("out.parquet")).open()
            .map(row -> row.get("id") + " " + row.get("result.text")).toList());
    }

    @Test void aQueryIsAskedOfFilesOrOfADatabase() {
        execute("jdbc:sqlite:" + at("shop.db"), "create table reviews (text)", "insert into reviews values ('fine')");
        var ofFiles = sql("-m", "echo", "-p", "{{text}}?", "--sql", "select * from '" + reviews() + "' where id = 2");
        var ofDatabase = sql("-m", "echo", "-p", "{{text}}!", "-d", "jdbc:sqlite:" + at("shop.db"), "--sql",
            "select text from reviews order by 1");

        assertTrue(ofFiles.out().contains("\"text\":\"bad?\""), ofFiles.out() + ofFiles.err());
        assertTrue(ofDatabase.out().contains("\"text\":\"fine!\""), ofDatabase.out() + ofDatabase.err());
    }

    @Test void anyFileBecomesAnyOther() throws IOException {
        var rows = Files.writeString(dir.resolve("in.csv"), "text\nfine\n").toString();

        assertEquals(0, sql("-m", "echo", "-p", "{{text}}", "-d", rows, "-o", at("out.parquet")).status());
        assertEquals(0, sql("-m", "echo", "-p", "{{text}}", "-d", reviews(), "-o", at("out.csv")).status());
        assertEquals(0, sql("-m", "echo", "-p", "{{text}}", "-d", reviews(), "-o", at("r.parquet"), "--rehearse")
            .status());
        assertEquals("fine", Sql.parquet(at("out.parquet")).open().findFirst().orElseThrow().get("result.text"));
        assertEquals(3, Files.readString(dir.resolve("out.csv")).lines().count());
        assertTrue(Files.exists(dir.resolve("r.rehearsal.parquet")) && Files.notExists(dir.resolve("r.parquet")));
    }

    @Test void anExcelFileIsReadAndWritten() {
        var films = Xlsx.write(dir.resolve("films.xlsx"), List.of(), Map.of("Films",
            Xlsx.row(1, "title", "year") + Xlsx.row(2, "Ran", Xlsx.number("1985", 0)))).toString();
        var run = excel("-m", "echo", "-p", "{{title}} of {{year}}", "-d", films, "--sheet", "Films", "-o",
            at("out.xlsx"), "--columns", "title,result.text");
        var other = sql("-m", "echo", "-p", "{{title}}", "-d", films, "-o", at("out.parquet"));

        assertEquals(0, run.status(), run.err());
        assertEquals("{title=Ran, result.text=Ran of 1985}", Excel.excel(at("out.xlsx")).open().findFirst()
            .orElseThrow().toString());
        assertEquals(0, other.status(), other.err());
        assertEquals(1985L, ((Number) Sql.parquet(at("out.parquet")).open().findFirst().orElseThrow().get("year"))
            .longValue());
        assertEquals("out: " + films + " is what is read; give another name\n",
            excel("-m", "m", "-p", "{{title}}", "-d", films, "-o", films).err());
    }

    /** Of 55 MB of texts, each in a map, in a heap of 64 MB; DuckDB has its own bound. */
    @Test void manyRowsNeedNoMoreMemory() throws Exception {
        execute("jdbc:duckdb:", "copy (select i as id, repeat('many words ', 20) || i as text from range(250000) t(i)) "
            + "to '" + at("many.parquet") + "' (format parquet)");
        var process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx64m",
            "-cp", System.getProperty("java.class.path"), "sheaf.commands.sql", "-m", "m", "-p", "{{text}}", "-d",
            at("many.parquet"), "--preview", "0").redirectErrorStream(true).start();

        var said = new String(process.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, process.waitFor(), said);
        assertTrue(("\n" + said).contains("\n250,000 requests in "), said);      // with progress before it, or none
    }

    @Test void aMissingValueIsRefusedAsInAnyOtherFile() {
        var run = sql("-m", "m", "-p", "{{texxt}}", "-d", reviews());

        assertEquals(2, run.status());
        assertTrue(run.err().contains("{{texxt}}") && run.err().contains("id, text"), run.err());
        assertTrue(server.requests().stream().noneMatch(request -> request.startsWith("POST")));
    }

    @ParameterizedTest @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "-d jdbc:sqlite:a.db | data: a database has many rows; say which by --sql 'select ... order by ...'",
        "-d postgresql://ana:hunter2@localhost/shop --sql q | data: the URL of a database begins with jdbc:, such as "
            + "jdbc:postgresql://HOST/NAME",
        "-d shop.db --sql q | sql: --data is no database (jdbc:...); write jdbc:sqlite:shop.db",
        "-d rows.csv --sql q | sql: --data is no database (jdbc:...); name the file in the query: from 'rows.csv'",
        "--sql q --separator ; | separator: only CSV has one; a query reads such a file by read_csv(...)",
        "-d no.parquet | parquet: no file no.parquet (looked at PWD/no.parquet)",
        "--sql q --sheet s | sheet: only an .xlsx file has one; give --data FILE.xlsx",
        "--sql selec | sql: syntax error at or near \"selec\"",
        "-d jdbc:nosuch://ana:hunter2@h/d?password=x --sql q | table: no JDBC driver for jdbc:nosuch: is on the class "
            + "path; add it by ./jbang run --deps=GROUP:ARTIFACT:VERSION sql ..."})
    void aMistakeIsASentence(String options, String sentence) {
        var run = sql(Stream.concat(Stream.of("-m", "m", "-p", "x{{y}}"), Stream.of(options.split(" ")))
            .toArray(String[]::new));

        assertEquals(2, run.status(), run.err());
        assertEquals(sentence.replace("PWD", Path.of("").toAbsolutePath().toString()) + "\n", run.err());
    }

    /** It stands in what the user typed; a terminal is seen by others, and a log too. */
    @Test void theNextCommandShowsNoPassword() {
        assertEquals("./jbang ask -d 'jdbc:postgresql://...@h/d?user=ana&password=...' --sql q",
            SpendingOptions.without("--sample", List.of("-d", "jdbc:postgresql://ana:hunter2@h/d?user=ana&password=x",
                "--sample", "2", "--sql", "q")));
    }

    private String reviews() {
        execute("jdbc:duckdb:", "copy (select * from (values (1, 'fine'), (2, 'bad')) t(id, text)) to '"
            + at("reviews.parquet") + "' (format parquet)");
        return at("reviews.parquet");
    }

    private static void execute(String url, String... statements) {
        try (var connection = DriverManager.getConnection(url); var statement = connection.createStatement()) {
            for (var each : statements) statement.execute(each);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private String at(String name) { return dir.resolve(name).toString(); }

    private static Run sql(String... arguments) {
        return Run.of(() -> sheaf.commands.sql.run(any -> false, arguments));
    }

    private static Run excel(String... arguments) {
        return Run.of(() -> sheaf.commands.excel.run(any -> false, arguments));
    }
}
