package sheaf.commands;

import java.io.PrintStream;
import java.util.Map;

/** What the library advises in Java, said in options. */
final class Reworded extends PrintStream {
    /** An answer may hold anything, so nothing but the line below the table is touched. */
    static final Map<String, String> TABLE =
        Map.of("(?m)^([0-9,]+ more); toCsv\\(file\\) writes", "$1; --out FILE.csv writes");
    static final Map<String, String> ADVICE = Map.ofEntries(
        Map.entry("did you mean template\\(\"(.*?)\"\\)\\?", "did you mean --template $1?"),
        Map.entry("give it as prompts\\(\\w+, csv\\(\\.\\.\\.\\)\\)", "give --data FILE"),
        Map.entry("for text write prompts\\(.*\\) or template\\(name, text\\)", "for text write --prompt"),
        Map.entry("name one by template\\(name, text\\)", "rename one of the files"),
        Map.entry("a word of its own: model\\(.*system\\(\\.\\.\\.\\)",
            "an option of its own: --model, --prompt or --system"),
        Map.entry("models\\(\\) lists", "./jbang models lists"),
        Map.entry("choose with provider\\(\"(.*?)\"\\)", "choose with --provider $1"),
        Map.entry("which results\\(\\)\\.retry\\(\\) or repair\\(1\\) sends", "which --repair 1 sends"),
        Map.entry(", or pay for it anew by resendMissing\\(\\)", ""),
        Map.entry("await it first: batch\\(\"(.*?)\"\\)\\.await\\(\\)", "wait for it first: ./jbang results $1"),
        Map.entry("submit it first: batch\\(\"(.*?)\"\\)\\.submit\\(\\)", "submit it first: ./jbang submit $1"),
        Map.entry("ask for them: batch\\(\"(.*?)\"\\)\\.results\\(\\)", "ask for them: ./jbang results $1"),
        Map.entry("or ask anew under another name\\(\\.\\.\\.\\)", "or ask anew under another --name"),
        Map.entry("or batch\\(\"(.*?)\"\\), to come back", "or ./jbang results $1, to come back"),
        Map.entry("and await\\(\\) submits", "and this command submits"),
        Map.entry("requests\\(file\\) has whole lines", "./jbang submit FILE sends a file of requests"),
        Map.entry("drop system\\(\\.\\.\\.\\)", "drop --system"),
        Map.entry("drop image\\(\\.\\.\\.\\)", "drop --image"),
        Map.entry("\\bseparator\\('\\\\t'\\)", "--separator tab"),
        Map.entry("\\bseparator\\('(.)'\\)", "--separator '$1'"),
        Map.entry("\\bcharset\\(\"(.*?)\"\\)", "--charset $1"),
        Map.entry("\\b(charset|header)\\(\\.\\.\\.\\)", "--$1"),
        Map.entry("(?m)^checkOutput: (.*); move it or give another name$", "out: $1; give another name, or --force"),
        Map.entry("(?m)^to(?:Csv|Jsonl): (.*); move it or give another name$",
            "out: $1; run again with another name or --force, nothing is sent twice"),
        Map.entry("use toJsonl\\(\\.\\.\\.\\)", "give --out FILE.jsonl"),
        Map.entry("\\S*sheaf-[0-9-]+\\Wstdin\\b", "standard input"));

    private final PrintStream to;
    private final Map<String, String> words;

    Reworded(PrintStream to, Map<String, String> words) {
        super(to, true);
        this.to = to;
        this.words = words;
    }

    @Override public void print(String text) {
        for (var word : words.entrySet()) text = text.replaceAll(word.getKey(), word.getValue());
        to.print(text);
    }
}
