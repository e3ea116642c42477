package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.RequestCounts;
import sheaf.server.BatchServer;
import sheaf.support.PseudoTerminal;

@Tag("apart")
class TerminalTest {
    @TempDir Path dir;

    /** What a user runs. */
    static class Script {
        public static void main(String... args) throws Exception {
            System.out.println(Terminal.width());
            for (var columns : args) {
                new ProcessBuilder("stty", "cols", columns).inheritIO().start().waitFor();
                System.out.println(Terminal.width());
            }
        }
    }

    /** A table of what terminals draw in different widths. */
    static class Table {
        public static void main(String... args) {
            System.out.print(Tables.draw(List.of(new Tables.Column("id", true), new Tables.Column("text", false),
                new Tables.Column("more", false)), List.of(List.of("1", "plain", "x"),
                List.of("2", "\ud83d\udc4d\ud83c\udffd 1\ufe0f\u20e3", "y"), List.of("3", "\u65e5\u672c", "z")),
                List.of(), 3));
        }
    }

    /** A table of results, one of which went wrong. */
    static class Shown {
        public static void main(String... args) throws Exception {
            System.setProperty("SHEAF_HOME", args[0]);
            try (var server = BatchServer.start()) {
                server.answer(body -> body.toString().contains("two") ? BatchServer.Reply.error(400, "x", "No.")
                    : BatchServer.Reply.text("errored: not"));
                batch().provider(Provider.of(server.baseUrl())).quiet().model("m")
                    .prompts("{{value}}", rows("one", "two")).submit().results().show();
            }
        }
    }

    /** A wait for a batch with a long name. */
    static class Wait {
        public static void main(String... args) {
            var progress = new Progress(false);
            progress.show("\u65e5\u672c ".repeat(9) + "in_progress", new RequestCounts(200_000, 40_000, 1_000));
            progress.show("reviews in_progress", new RequestCounts(200_000, 41_000, 1_000));
            progress.end("done");
        }
    }

    @Test void theLineOfAWaitIsNoLongerThanTheTerminalForThenItCouldNotBeRewritten() throws Exception {
        assertEquals("\r\u001b[K" + "\u65e5\u672c ".repeat(9) + "in_progres\u2026"
            + "\r\u001b[Kreviews in_progress 42,000/200,000, 1,000 failed\r\u001b[Kdone\n",
            shown(Map.of(), java(Wait.class)));
    }

    @Test void whatWentWrongHasAColourUnlessNobodySeesItOrWantsIt() throws Exception {
        var plain = "request-2  two    errored: 400 No.\n";
        var show = java(Shown.class) + " " + dir;

        var shown = shown(Map.of(), show);
        assertTrue(shown.contains("request-1  one    errored: not\n"), shown);
        assertTrue(shown.contains("request-2  two    \u001b[31merrored: 400 No.\u001b[0m\n"), shown);
        assertTrue(shown(Map.of("NO_COLOR", "1"), show).contains(plain));
        assertTrue(shown(Map.of("TERM", "dumb"), show).contains(plain));
        assertTrue(shown(Map.of(), show + " | cat").contains(plain));
    }

    @Test void itIsAskedEachTimeForPeopleResizeIt() throws Exception {
        assertEquals("57\n91\n40\n", shown(Map.of(), java(Script.class) + " 91 40"));
    }

    @Test void itIsAskedWhereRowsComeByAPipeAndNotWhereTablesGoIntoOne() throws Exception {
        assertEquals("57\n", shown(Map.of(), java(Script.class) + " </dev/null"));
        assertEquals("100\n", shown(Map.of(), java(Script.class) + " | cat"));
        assertEquals("100\n", shown(Map.of(), java(Script.class) + " > out; cat out"));
    }

    @Test void whatHandsItsOutputOnIsToldWhereToAsk() throws Exception {
        assertEquals("57\n", shown(Map.of(), java(Script.class, "-Dsheaf.terminal=/dev/tty") + " | cat"));
        assertEquals("100\n", shown(Map.of(), java(Script.class, "-Dsheaf.terminal=/no/tty") + " | cat"));
    }

    @Test void columnsOfTheEnvironmentGoFirst() throws Exception {
        assertEquals("77\n", shown(Map.of(), "COLUMNS=77 " + java(Script.class)));
        assertEquals("57\n", shown(Map.of(), "COLUMNS=wide " + java(Script.class)));
    }

    @Test void aColumnBeginsWhereItsHeaderDoesHoweverWideTheTerminalDrawsAnEmoji() throws Exception {
        var shown = """
            id  text   more
            --  -----  ----
            1   plain  x
            2   \ud83d\udc4d\ud83c\udffd 1\ufe0f\u20e3\u001b[10G  y
            3   \u65e5\u672c\u001b[10G  z
            """;
        assertEquals(shown, shown(Map.of(), java(Table.class)));
        assertEquals(shown.replace("\u20e3\u001b[10G", "\u20e3").replace("\u001b[10G", " "),
            shown(Map.of(), java(Table.class) + " | cat"));
        assertEquals(shown.replace("\u20e3\u001b[10G", "\u20e3").replace("\u001b[10G", " "),
            shown(Map.of("TERM", "dumb"), java(Table.class)));
    }

    /** A line of progress that is rewritten, and what is said while it stands there. */
    static final class Noting {
        private Noting() {}

        public static void main(String... args) {
            var progress = new Progress(false);
            progress.show("sample of x", new RequestCounts(2, 2, 0));
            progress.note("sample: 2 answers");
            progress.end("");
        }
    }

    @Test void aNoteDoesNotStandBehindTheProgress() throws Exception {
        assertEquals("\r\u001b[Ksample of x 2/2\r\u001b[Ksample: 2 answers\n\r\u001b[K",
            shown(Map.of(), java(Noting.class)));
    }

    /** One who has no key, and asks. */
    static final class Keyless {
        private Keyless() {}

        public static void main(String... args) {
            try {
                Provider.chosen().batches(1);
            } catch (IllegalStateException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @Test void beforeAKeyIsAskedForTheFreeWayIsNamedAndAfterNoneIsTypedAgain() throws Exception {
        var environment = Map.of("CI", "", "SHEAF_HOME", dir.toString());
        try (var terminal = new PseudoTerminal(100, java(Keyless.class, "-Dsheaf.typed=ask"), dir, environment)) {
            var question = """
                Without a key: press Enter and give --provider local, a small free model on this machine
                Key for openai (hidden; OPENAI_API_KEY is not set):\s""";
            terminal.await(0, "is not set\\): ");
            assertEquals(question, terminal.text());
            terminal.type("\n");
            assertEquals(question + "\nprovider: no key for openai; set OPENAI_API_KEY, or give --provider local, a "
                + "small free model on this machine\n", terminal.ended());
        }
    }

    private String shown(Map<String, String> environment, String command) throws Exception {
        try (var terminal = new PseudoTerminal(57, command, dir, environment)) {
            return terminal.ended();
        }
    }

    private static String java(Class<?> main, String... options) {
        return "'" + Path.of(System.getProperty("java.home"), "bin", "java") + "' -XX:TieredStopAtLevel=1 "
            + "-Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 " + String.join(" ", options) + " -cp '"
            + System.getProperty("java.class.path") + "' '" + main.getName() + "'";
    }
}
