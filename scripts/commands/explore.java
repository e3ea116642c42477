///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Open JShell with everything imported, rows to try and somebody who answers
//SOURCES ../../lib/Sheaf.java
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java
//FILES data/questions.csv=../../data/questions.csv

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import jdk.jshell.tool.JavaShellToolBuilder;
import sheaf.Sheaf.Provider;
import sheaf.model.LocalModel;
import sheaf.server.BatchServer;

/** JShell's own tool, which runs what is typed in another JVM: no Ctrl-C and no crash there ends the server here. */
class explore {
    private static final String START = """
        import sheaf.Sheaf;
        import sheaf.model.LocalModel;
        import sheaf.server.BatchServer;
        import static sheaf.Sheaf.*;
        var questions = csv("data/questions.csv");
        """;

    /** How values are shown: the long ones whole, for a table is one. */
    private static final String LOOK = """
        /set mode sheaf normal -quiet
        /set prompt sheaf "sheaf> " "  ...> "
        /set truncation sheaf 20000
        /set mode sheaf -retain
        /set feedback -retain sheaf
        /exit
        """;

    private static final String GREETING = """
        Sheaf in JShell: batch(), csv(...), template(...) and the rest are there.
        %s
        To begin, paste   %s
        A chain is one line, or has its dots at the ends of the lines.
        questions is data/questions.csv; batches(), models(), files() are tables.
        Tab completes, Ctrl-C ends a wait and no batch, /exit leaves.

        """;

    private static final String USAGE = """
        Usage: explore [--local]
        Opens JShell with everything imported, rows to try and somebody who answers: the provider whose key is set, else
        an echo. With --local a small model on this machine answers.
        """;

    public static void main(String... args) throws IOException {
        if (List.of(args).contains("--help") || List.of(args).contains("-h")) {
            System.out.print(USAGE);
            return;
        }
        if (args.length > 1 || args.length == 1 && !args[0].equals("--local")) {
            System.err.println("explore: takes --local, to be answered by a small model on this machine, or nothing; "
                + "try 'explore --help'");
            System.exit(2);
        }
        try {
            System.exit(args.length == 1 ? withModel() : withProvider());
        } catch (UncheckedIOException | IllegalStateException noModelOrNoServer) {
            System.err.println(noModelOrNoServer.getMessage());
            System.exit(1);
        }
    }

    private static int withModel() throws IOException {
        try (var model = LocalModel.start(); var server = BatchServer.start(model.baseUrl())) {
            return open(server.baseUrl(), "Answers come from " + model.describe() + ", on this machine.",
                example(model.model(), ".maxTokens(100)"));
        }
    }

    private static int withProvider() throws IOException {
        try {
            var chosen = Provider.chosen();
            if (chosen.hasKey() || isNamed()) return open("", "Answers come from " + chosen.label()
                + (chosen.hasKey() ? ""
                : ", as soon as " + chosen.keyVariable() + " is set; leave and set it") + ".", "models()");
        } catch (IllegalStateException noKeyOrTwo) {
            if (!noKeyOrTwo.getMessage().startsWith("provider: no key; "))
                return open("", noKeyOrTwo.getMessage() + ".", "kept()");
        }
        try (var server = BatchServer.start()) {
            return open(server.baseUrl(), "No key is set, so an echo answers, here: it says each prompt back. "
                + "For a model, set OPENAI_API_KEY or the like, or --local.", example("echo", ""));
        }
    }

    private static boolean isNamed() {
        return List.of("SHEAF_PROVIDER", "OPENAI_BASE_URL").stream().map(System.getenv()::get)
            .anyMatch(value -> value != null && !value.isBlank());
    }

    private static String example(String model, String settings) {
        return "batch().model(\"" + model + "\")" + settings
            + ".prompts(\"{{question}}\", questions).submit().await().results().show()";
    }

    private static int open(String baseUrl, String whoAnswers, String example) throws IOException {
        System.out.printf(GREETING, whoAnswers, example);
        var start = Files.createTempFile("explore", ".jsh");
        try {
            Files.writeString(start, START);
            var options = new ArrayList<>(List.of("--class-path", System.getProperty("java.class.path"),
                "--startup", "DEFAULT", "--startup", start.toString(), "-R-XX:TieredStopAtLevel=1",
                "-R--enable-native-access=ALL-UNNAMED"));
            if (!baseUrl.isEmpty()) options.add("-R-DOPENAI_BASE_URL=" + baseUrl);
            if (System.console() != null) options.add("-R-Dsheaf.terminal=/dev/tty");       // its output comes by us
            return JavaShellToolBuilder.builder().persistence(look())
                .out(new PrintStream(new OursBrief(System.out), true, UTF_8), System.out, System.out)
                .start(options.toArray(String[]::new));
        } catch (IOException | RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException("explore: JShell does not start (" + e.getMessage() + ")", e);
        } finally {
            Files.deleteIfExists(start);
        }
    }

    /** JShell begins with a look of ours only if an earlier JShell has told it to: this one, which no one sees. */
    private static Map<String, String> look() throws Exception {
        var kept = new HashMap<String, String>();
        JavaShellToolBuilder.builder().persistence(kept)
            .in(new ByteArrayInputStream(LOOK.getBytes(UTF_8)), null)
            .out(new PrintStream(OutputStream.nullOutputStream()))
            .start("--execution", "local", "--no-startup");
        kept.keySet().removeIf(key -> key.startsWith("HISTORY"));
        return kept;
    }

    /**
     * What JShell says, without the stack trace of an error that is one of Sheaf's sentences, and without the name of
     * a value that Ctrl-C kept from being; a table begins below its name.
     */
    private static final class OursBrief extends FilterOutputStream {
        private static final Pattern OURS = Pattern.compile("\\|  Exception (java|sheaf)\\S+: [a-zA-Z]+: .*\\R?");
        private static final Pattern TRACE = Pattern.compile("\\|        (at |\\.\\.\\.).*\\R?|\\|  Caused by: .*\\R?");
        private static final Pattern NAMED = Pattern.compile("\\S+ ==> *\\S.*\\R");
        private static final Pattern NOTHING = Pattern.compile("\\S+ ==> *\\R");
        private static final Pattern RULE = Pattern.compile("-{2,}( {2}-{2,})*\\R");
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private final StringBuilder value = new StringBuilder();       // as far as it is known to be no table
        private boolean ours;                              // the error that was last said

        OursBrief(OutputStream out) { super(out); }

        @Override public void write(int b) throws IOException {
            line.write(b);
            if (b == '\n') pass();
        }

        @Override public void write(byte[] bytes, int offset, int length) throws IOException {
            for (int i = offset; i < offset + length; i++) write(bytes[i]);
        }

        /** What begins with a bar comes in pieces, and ends its line. */
        @Override public void flush() throws IOException {
            if (!text().startsWith("|")) pass();
            sayValue();
            out.flush();
        }

        private void pass() throws IOException {
            var text = text();
            var isTrace = TRACE.matcher(text).matches();
            if (!text.isBlank() && !isTrace) ours = OURS.matcher(text).matches();
            if (NAMED.matcher(text).matches() || !value.isEmpty()) take(text);
            else if ((!isTrace || !ours) && !NOTHING.matcher(text).matches()) line.writeTo(out);
            line.reset();
        }

        private void take(String text) throws IOException {
            boolean isTable = RULE.matcher(text).matches();
            int space = value.indexOf(" ==> ") + " ==>".length();
            if (isTable) value.setCharAt(space, '\n');
            value.append(text);
            if (isTable) sayValue();
        }

        private void sayValue() throws IOException {
            out.write(value.toString().getBytes(UTF_8));
            value.setLength(0);
        }

        private String text() { return line.toString(UTF_8); }
    }
}
