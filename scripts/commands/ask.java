///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a model one prompt, or one for each row of a file, and write the answers as a table or a file
//SOURCES ../../lib/Sheaf.java
//SOURCES PromptOptions.java
//SOURCES DataOptions.java
//SOURCES OutputOptions.java
//SOURCES RequestOptions.java
//SOURCES SendingOptions.java
//SOURCES SpendingOptions.java
//SOURCES ProviderOption.java
//SOURCES TableFiles.java
//SOURCES Typed.java
//SOURCES TimeConverter.java
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Stack;
import java.util.concurrent.Callable;
import java.util.function.IntPredicate;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IParameterPreprocessor;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(name = "ask", sortOptions = false,
    customSynopsis = "ask --model MODEL [OPTION]... [PROMPT]...",
    description = {"Sends prompts as a batch, waits, and writes each answer beside its row.", "",
        "With --data, each prompt and each template is sent for every row, {{column}} standing for the row's value. "
            + "Without it, the prompts are sent as they stand. The same command, run again, comes back to the same "
            + "batch, pays nothing and writes its file anew.", ""},
    footer = {"",
        "Examples:",
        "  ./jbang ask -m gpt-4.1-mini 'What is a sheaf?' 'What is a batch?'",
        "  ./jbang ask -m gpt-4.1-mini -s '{{persona}}' -p '{{question}}' \\",
        "      -d data/questions.csv -o out.csv",
        "  ./jbang ask -m gpt-4.1-mini -p 'In Spanish: {{text}}' \\",
        "      -d data/reviews.csv --sample 5",
        "  cat data/reviews.csv |",
        "      ./jbang ask -m gpt-4.1-mini -p 'In Spanish: {{text}}' -d - > out.jsonl",
        "",
        "No key yet? --provider local is a small free model on this machine, which is started for the run; --engine "
            + "ollama, or another that runs here, has your own.",
        "",
        "Without --out a terminal gets a table of the first 20 rows, and a pipe or a file JSON Lines of all; "
            + "progress goes to stderr. Ctrl-C does not end the batch: the same command comes back to it.",
        "",
        "Exit codes: 0 if every request has a whole answer; 1 if the provider refused or could not be reached; 2 if an "
            + "option, a prompt, the data or the key is at fault, and nothing was sent; 3 if some requests have no "
            + "whole answer; 75 if the batch goes on: --wait is over, or a limit of the engine is used up."})
class ask implements Callable<Integer> {
    private static final String REHEARSED = "ask: a rehearsal, of which nothing is sent: answers are invented";
    private static final String FAULTS = "; an upload, a create, looks and a download fail at first, and each seventh "
        + "answer expires";

    @Mixin PromptOptions prompt;
    @Mixin DataOptions data;
    @Mixin OutputOptions output;

    @Option(names = "--preview", paramLabel = "N", arity = "0..1", preprocessor = Count.class,
        description = "prints the first N request lines (default: 3) and, on stderr, what all would be; sends nothing")
    Integer preview;

    @Mixin SpendingOptions spending;
    @Mixin RequestOptions request;
    @Mixin SendingOptions sending;
    @Mixin ProviderOption provider;

    @Option(names = {"-h", "--help"}, usageHelp = true, order = 9, description = "shows this text")
    boolean help;

    @Spec CommandSpec spec;

    private final IntPredicate terminal;                       // whether this stream, 0 or 1, is one
    private String rehearsal;                                  // where all is done instead; null: at the provider
    private boolean isSent;

    ask(IntPredicate terminal) { this.terminal = terminal; }

    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) { return run(terminal, null, TableFiles.NONE, args); }

    static int run(IntPredicate terminal, String rehearsal, TableFiles tables, String... args) {
        var command = new ask(terminal);
        command.rehearsal = rehearsal;
        var line = new CommandLine(command).setExpandAtFiles(false);           // a prompt may begin with @
        command.data.tables = tables;
        command.output.tables = tables;
        command.output.endings = List.of("csv", "jsonl", "html", "parquet", "xlsx");
        return Typed.run(line, () -> command.isSent, args);
    }

    @Override public Integer call() throws IOException {
        var other = data.tableCommand(output.out, spending.rehearse);
        if (!other.isEmpty()) return start(other, given());
        if (spending.rehearse && rehearsal == null)
            return start("rehearse", given().stream().filter(arg -> !arg.equals("--rehearse")).toList());
        if (rehearsal != null) output.isRehearsed();
        checkPrompts();
        if (preview == null && !spending.estimate) output.check(inputs());
        var draft = draft();
        if (spending.estimate) {
            draft.estimate().show();
            return 0;
        }
        if (preview != null) {
            var first = draft.preview(preview);
            first.show();
            if (sending.sendsAgain())
                System.err.println("ask: what is sent again, and paid, is known only once all answers are here");
            return first.fault().isEmpty() ? 0 : 2;
        }
        if (rehearsal == null) output.checkOwner(draft::checkOutput);
        if (rehearsal != null) return rehearsed(draft);
        if (spending.sample != null) return shown(draft.sample(spending.sample), true, "--sample", "for all");
        var batch = draft.submit();
        isSent = true;
        return write(sending.wait == null ? batch.results() : batch.results(sending.wait));
    }

    /** Shows what was invented, and writes the files as the real run would. */
    private int rehearsed(Draft draft) throws IOException {
        if (!sending.quiet) System.err.println(REHEARSED + (spending.sample == null ? FAULTS : ""));
        var results = draft.rehearse(rehearsal);
        if (output.isPiped()) output.print(results);
        output.writeFiles(results, !sending.quiet);
        return shown(results, !output.isPiped(), "--rehearse", "for the real run");
    }

    /** Shows what is not all, or not the real thing, and says the command for that. */
    private int shown(Results results, boolean isTable, String option, String what) {
        isSent = true;
        if (isTable) results.show();
        if (!sending.quiet) System.err.println("ask: " + what + ": " + SpendingOptions.without(option, given()));
        return results.exitCode().number();
    }

    private List<String> given() { return spec.commandLine().getParseResult().originalArgs(); }

    /** A server, DuckDB and Excel are no part of this command, for each weighs more than all the rest. */
    private static int start(String command, List<String> args) {
        var launched = Stream.concat(Stream.of(Typed.launcher().replaceAll("^'|'$", ""), command), args.stream())
            .toList();
        try {
            return new ProcessBuilder(launched).inheritIO().start().waitFor();
        } catch (IOException noLauncher) {
            throw new IllegalArgumentException("ask: what is given is for the command " + command + ", which cannot be "
                + "started from here; give it the same, as in jbang " + command + "@owner/repo", noLauncher);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 1;
        }
    }

    private void checkPrompts() {
        prompt.check();
        if (data.isGiven()) return;
        data.checkWithoutRows();
        request.checkWithoutRows();
        prompt.checkWithoutRows();
        if (!sending.quiet) prompt.noteTags();
    }

    private List<String> inputs() {
        return Stream.concat(data.file().stream(), prompt.templates.stream()).toList();
    }

    private Draft draft() throws IOException {
        provider.checkAlone(sending.shares);
        var draft = data.isGiven() ? overRows() : withoutRows();
        return request.setOn(spending.setOn(sending.setOn(provider.setOn(draft))));
    }

    private Draft overRows() throws IOException {
        var rows = data.rows(() -> terminal.test(0));
        output.csv.checkColumns(rows, request.formColumns());
        return prompt.over(rows);
    }

    private Draft withoutRows() {
        output.csv.checkColumns(rows(prompt.templates.isEmpty() ? Map.of("prompt", "") : Map.of()),
            request.formColumns());
        return prompt.withoutRows();
    }

    private int write(Results results) throws IOException {
        output.write(results, !sending.quiet, () -> terminal.test(1));
        var failed = results.failed();
        if (failed.size() > 0 && !sending.quiet)
            System.err.println("ask: " + OutputOptions.number(failed.size()) + " of "
                + OutputOptions.number(results.size()) + " requests "
                + (failed.size() == 1 ? "has" : "have") + " no whole answer (" + OutputOptions.text(failed.counts())
                + ")" + sending.advice(failed));
        return results.exitCode().number();
    }

    /** Java itself knows only whether all streams are a terminal, and rows may come by a pipe. */
    static boolean isTerminal(int stream) {
        try {
            return new ProcessBuilder("test", "-t", String.valueOf(stream)).inheritIO().start().waitFor() == 0;
        } catch (IOException noSuchProgram) {
            return System.console() != null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** A number after --preview is its own; anything else is the next argument. */
    static final class Count implements IParameterPreprocessor {
        @Override public boolean preprocess(Stack<String> args, CommandSpec command, ArgSpec option,
                                            Map<String, Object> info) {
            if (args.isEmpty() || !args.peek().matches("[0-9]{1,9}")) args.push("3");
            return false;
        }
    }
}
