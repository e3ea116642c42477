package sheaf.commands;

import java.util.List;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** What is to be known of the price before all is sent, and what is sent but once. */
final class SpendingOptions {
    @Option(names = "--estimate",
        description = "prints what all would send and cost: tokens, counted, and prices from a table; sends nothing")
    boolean estimate;

    @Option(names = "--sample", paramLabel = "N",
        description = "asks N rows now, evenly spread and one by one, and shows their answers; the same command "
            + "without it sends only the rest")
    Integer sample;

    @Option(names = "--rehearse",
        description = "does all of it at a server on this machine that has faults and invents the answers: the same "
            + "parts and files (FILE.csv is FILE.rehearsal.csv), and nothing is paid; then shows the answers")
    boolean rehearse;

    @Option(names = "--price", paramLabel = "IN,OUT",
        description = "what the models cost: dollars for a million tokens, in and out (default: as the file says that "
            + "SHEAF_PRICES names, or a table of list prices)")
    String price;

    @Option(names = "--budget", paramLabel = "DOLLARS",
        description = "refuses what could cost more, with all that was sent before under the same name")
    Double budget;

    @Option(names = "--distinct", description = "sends identical requests once; each row gets the answer")
    boolean distinct;

    /** Returns the command as it was given, without an option and its value. */
    static String without(String option, List<String> args) {
        var rest = new StringBuilder(Typed.launcher() + " ask");
        for (int i = 0; i < args.size(); i++) {
            if (args.get(i).equals(option)) i += option.equals("--sample") ? 1 : 0;
            else if (!args.get(i).startsWith(option + "=")) rest.append(' ').append(quoted(args.get(i)));
        }
        return rest.toString();
    }

    /** Whoever sees the command need not see the password in the URL of a database. */
    private static String quoted(String given) {
        var arg = given.replaceFirst("(jdbc:[^?;]*//)[^/?;@]*@", "$1...@")
            .replaceAll("(?i)((?:^|=)jdbc:.*?[?;&]\\w*(?:pass|pwd|secret|token|key)\\w*=)[^;&]*", "$1...");
        return arg.matches("[\\w@%+=:,./-]+") ? arg : "'" + arg.replace("'", "'\\''") + "'";
    }

    Draft setOn(Draft draft) {
        if (price != null) draft = draft.options("--price", price);
        if (budget != null) draft = draft.budget(budget);
        if (sample != null) draft = draft.options("--sample", String.valueOf(sample));
        return distinct ? draft.distinct() : draft;
    }
}
