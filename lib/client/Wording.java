package sheaf;

import java.util.Locale;

/** What a message advises, in the words of its reader: Java for who writes a script, options for who runs a command. */
enum Wording {
    MODEL("model(...)", "--model"),
    MODELS("models()", "./jbang models"),
    OWN_WORDS("a word of its own: model(...), prompts(...) or system(...)",
        "an option of its own: --model, --template or --system"),
    TEMPLATE("template(\"%s\")", "--template %s"),
    DATA("give it as prompts(%s, csv(...))", "give --data FILE"),
    FILL_IN("to fill it in, prompts(text, csv(...))", "to fill it in, give --data FILE"),
    ROWS("prompts(text, %s(\"%s\"))", "--data %2$s"),
    TEXT("prompts(\"%s\", data) or template(name, text)", "--prompt"),
    RENAME("name one by template(name, text)", "rename one of the files"),
    PROVIDER("provider(\"%s\")", "--provider %s"),
    ENGINE("provider(\"engine:%s\")", "give --engine %s"),
    LOCAL("set SHEAF_PROVIDER=local", "give --provider local"),
    OTHER_SERVER("set OPENAI_BASE_URL", "give another --provider"),
    OTHER_PLACE("set OPENAI_BASE_URL to where it listens", "give the URL where it listens by --provider"),
    NAME("name(...)", "--name"),
    SYSTEM("system(...)", "--system"),
    IMAGE("image(...)", "--image"),
    MAX_TOKENS("maxTokens(...)", "--max-tokens"),
    PRICE("price(in, out) or SHEAF_PRICES gives one", "--price IN,OUT or SHEAF_PRICES gives one"),
    GIVEN_PRICE("price(%s, %s)", "--price %s,%s"),
    DISTINCT("distinct()", "--distinct"),
    BUDGET("budget(...)", "--budget"),
    WITHOUT_SAMPLE("submit()", "the same without --sample"),
    SAMPLE("sample(%s)", "--sample %s"),
    LIMIT("limit(%s) of the data", "--limit %s"),
    CUSTOM_ID("customId", "id"),
    FORMAT("returning(...) or choice(...)", "--returning or --choice"),
    CONFIDENCE("confidence()", "--confidence"),
    CHOICE("choice(...), yesNo() or score(...)", "--choice"),
    REQUESTS("requests(file) has whole lines", "./jbang submit FILE sends a file of requests"),
    REPAIR("results().retry() or repair(1)", "--repair 1"),
    RETRY("results().retry()", "./jbang eval 'batch(\"%s\").results().retry().submit()'"),
    RESEND_MISSING("resendMissing()", "--resend-missing"),
    SEPARATOR("separator('%s')", "--separator '%s'"),
    TAB("separator('\\t')", "--separator tab"),
    CHARSET("charset(\"%s\")", "--charset %s"),
    ANY_CHARSET("charset(...)", "--charset"),
    HEADER("header(...)", "--header"),
    SUBMIT("batch(\"%s\").submit()", "./jbang submit %s"),
    AWAIT("batch(\"%s\").await()", "./jbang results %s"),
    RESULTS("batch(\"%s\").results()", "./jbang results %s"),
    BATCH("batch(\"%s\")", "./jbang results %s"),
    GOING_ON("await()", "this command"),
    COME_BACK("batch(\"%s\").await()", "the same command comes back to it"),
    CANCEL("await() or cancel() it first", "./jbang cancel %s, or wait for it"),
    NEW_BATCH("; a new one is batch().model(\"%s\")", "; ./jbang batches lists what there is"),
    TO_CSV("toCsv(file) writes", "--out FILE.csv writes"),
    ANSWERS("give the results themselves as data, or what toJsonl(...) writes",
        "give as --data what --out FILE.jsonl writes"),
    TO_JSONL("use toJsonl(...)", "give --out FILE.jsonl"),
    CSV("toCsv", "out"),
    JSONL("toJsonl", "out"),
    HTML("toHtml", "out"),
    PARQUET("toParquet", "out"),
    EXCEL("toExcel", "out"),
    DRIVER("add it by //DEPS GROUP:ARTIFACT:VERSION", "add it by ./jbang run --deps=GROUP:ARTIFACT:VERSION sql ..."),
    REPORT("toReport", "report"),
    WINDOW("completionWindow", "window"),
    OUTPUT("checkOutput", "out"),
    MOVE("move it or give another name", "give another name, or --force"),
    MOVE_AND_RUN_AGAIN("move it or give another name",
        "run again with another name or --force, nothing is sent twice"),
    LIMITS("by limits(requests, bytes) of the provider", "of fewer rows, by --limit");

    /** The system property that says that a command was typed. */
    static final String TYPED = "sheaf.typed";
    private final String inJava;
    private final String asOption;

    Wording(String inJava, String asOption) {
        this.inJava = inJava;
        this.asOption = asOption;
    }

    /** Whether the command takes one step of a batch, and so has no option to send anything again. */
    static boolean isStep() { return Environment.get(TYPED).equals("steps"); }

    static boolean isTyped() { return !Environment.get(TYPED).isEmpty(); }

    String of(Object... values) {
        return String.format(Locale.ROOT, isTyped() ? asOption.replace("./jbang", Environment.launcher()) : inJava,
            values);
    }

    @Override public String toString() { return of(); }
}
