package sheaf.commands;

import java.util.List;
import java.util.function.BooleanSupplier;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;
import sheaf.Arguments;
import sheaf.Vocabulary.ExitCode;

/** A command as it was typed: what is wrong is one sentence that names options, and the exit code tells its kind. */
final class Typed {
    private static final String TYPED = "sheaf.typed";

    private Typed() {}

    /** Runs a command, and returns its exit code. */
    static int run(CommandLine command, BooleanSupplier hasSent, String... args) {
        var before = System.setProperty(TYPED, command.getCommandName());
        try {
            Arguments.whole(args);
            return command
                .setParameterExceptionHandler((e, given) -> misused(e))
                .setExecutionExceptionHandler((e, line, parsed) -> {
                    if (!isSentence(e)) throw e;
                    System.err.println(named(line.getCommandName(), e.getMessage()));
                    return ExitCode.of(e, hasSent.getAsBoolean()).number();
                })
                .execute(args);
        } catch (IllegalArgumentException spoiled) {
            System.err.println(spoiled.getMessage());
            return ExitCode.MISUSED.number();
        } finally {
            if (before == null) System.clearProperty(TYPED);
            else System.setProperty(TYPED, before);
        }
    }

    /** Returns how JBang was called: what a next command begins with. */
    static String launcher() { return System.getenv().getOrDefault("SHEAF_LAUNCHER", "./jbang"); }

    /** The library's sentence may begin with a step of its own; here it is the command that was typed. */
    private static String named(String command, String sentence) {
        return sentence.replaceFirst("^(await|parts|submit|requests|batch): ", command + ": ");
    }

    private static boolean isSentence(Exception e) {
        return String.valueOf(e.getMessage()).matches("(?s)[a-zA-Z]+: .*");
    }

    /** What the library says of an option's value is whole: the fault may be in a file that it is looked up in. */
    private static int misused(ParameterException e) {
        if (e.getCause() instanceof RuntimeException fault && isSentence(fault)) {
            System.err.println(fault.getMessage());
            return ExitCode.of(fault, false).number();
        }
        var name = e.getCommandLine().getCommandName();
        var near = e instanceof UnmatchedArgumentException unmatched ? unmatched.getSuggestions() : List.<String>of();
        var fault = e.getMessage().replaceFirst("is not an? (int|long|double)$", "is no number");
        System.err.println(name + ": " + fault + (near.isEmpty() ? "" : "; did you mean " + String.join(" or ", near)
            + "?") + "; try '" + name + " --help'");
        return ExitCode.MISUSED.number();
    }
}
