//SOURCES NameOption.java
//SOURCES TimeConverter.java

package sheaf.commands;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;

/** Which requests are sent, how often, under which name, and how long they are waited for. */
final class SendingOptions {
    @Mixin NameOption name;

    @Option(names = "--repair", paramLabel = "N",
        description = "sends again, at most N times, what may end better: cut off, expired, broken, missing or "
            + "not what was asked for")
    Integer repair;

    @Option(names = "--share", paramLabel = "NAME,PART[,MODEL]",
        description = "a provider, which part of 1 it answers, and its name for the model; given once for each of "
            + "several providers, which are at work at once")
    List<String> shares = List.of();

    @Option(names = "--fallback", paramLabel = "NAME[,MODEL]",
        description = "who is asked what the provider has no room for, refuses or fails, and its name for the model")
    String fallback;

    @Option(names = "--resend-missing",
        description = "sends again, and pays for, what has no answer in the provider's files or in files that are gone")
    boolean resendMissing;

    @Option(names = "--wait", paramLabel = "TIME", converter = TimeConverter.class,
        description = "waits at most so long, such as 10m; the same command comes back (default: until the end)")
    Duration wait;

    @Option(names = {"-q", "--quiet"}, description = "says nothing on stderr but what is wrong")
    boolean quiet;

    boolean repairs() { return repair != null; }

    boolean sendsAgain() { return repairs() || resendMissing; }

    Draft setOn(Draft draft) {
        draft = name.setOn(draft);
        if (quiet) draft = draft.quiet();
        if (!shares.isEmpty())
            draft = draft.options(shares.stream().flatMap(share -> Stream.of("--share", share)).toArray(String[]::new));
        if (fallback != null) draft = draft.options("--fallback", fallback);
        if (resendMissing) draft = draft.resendMissing();
        return draft.repair(repairs() ? repair : 0);       // what was paid before counts, whatever is said now
    }

    /** Returns why these failed, and the options not yet given that may help, as the end of a sentence. */
    String advice(Results failed) {
        var reasons = failed.stream().map(Result::error).distinct().limit(2).toList();
        var before = failed.size() > 1 ? ", all: " : ": ";
        var why = reasons.size() > 1 ? "; result.error says why, and " : before + reasons.get(0) + "; ";
        var help = new ArrayList<String>();
        if (!repairs() && failed.isRepairable()) help.add("--repair 1 sends again what may end better");
        if (!resendMissing && failed.counts().containsKey(Outcome.MISSING) && !why.contains("--resend-missing"))
            help.add("--resend-missing sends again, and pays for, what is missing");
        return help.isEmpty() ? why.replaceFirst("(, and|;) $", "") : why + String.join(", and ", help);
    }
}
