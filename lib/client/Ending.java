package sheaf;

import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;

/**
 * How a request ended, by the word that a provider has for it: why the model stopped, or the code of an error. Case and
 * what stands between the words of a word do not count.
 */
final class Ending {
    /** What an answer with tool calls ends in is a success, for the calls were asked for. */
    private static final String CALLS = "toolcall toolcalls tooluse functioncall functioncalls";
    private static final String WHOLE = "stop stopped stopsequence stoptoken eos eostoken endoftext endturn end"
        + " complete completed finish finished done normal success succeeded null none " + CALLS;
    private static final String CUT = "length maxtokens maxtoken maxlength maxlen maxoutput maxoutputtokens"
        + " maxcompletiontokens maxnewtokens maxtokensreached modellength tokenlimit tokenlimitreached outputlimit"
        + " lengthlimit context contextlength contextwindow contextlimit contextlengthexceeded contextwindowexceeded"
        + " modelcontextwindowexceeded maxcontextlength truncated";
    private static final String FILTERED = "contentfilter contentfiltered contentfiltering contentpolicy"
        + " contentpolicyviolation policyviolation responsibleaipolicyviolation contentmoderation moderation"
        + " moderationblocked safety imagesafety safetyviolation refusal refused recitation imagerecitation blocklist"
        + " prohibitedcontent imageprohibitedcontent spii sensitive sensitivecontent guardrail guardrails"
        + " guardrailintervened datainspectionfailed flagged blocked promptblocked";
    private static final String BROKEN = "error errored failed failure abort aborted timeout networkerror systemerror"
        + " servererror internalerror insufficientsystemresource";
    private static final String STOPPED = "cancelled canceled requestcancelled requestcanceled batchcancelled"
        + " batchcanceled";
    private static final String LATE = "expired requestexpired batchexpired";
    private static final Map<String, Outcome> OF_ANSWERS = table(Map.of(WHOLE, Outcome.SUCCEEDED, CUT,
        Outcome.TRUNCATED, FILTERED, Outcome.REFUSED, BROKEN, Outcome.ERRORED, STOPPED, Outcome.CANCELLED, LATE,
        Outcome.EXPIRED));
    /** An error of the context's length is no answer that was cut; invalid_prompt is what OpenAI's filter says. */
    private static final Map<String, Outcome> OF_ERRORS = table(Map.of(FILTERED + " invalidprompt"
        + " imagecontentpolicyviolation", Outcome.REFUSED, STOPPED, Outcome.CANCELLED, LATE, Outcome.EXPIRED));
    /** Codes of errors for which the request is not at fault. */
    private static final List<String> PASSING = List.of("ratelimit", "overloaded", "servererror", "internal",
        "timeout", "timedout", "unavailable", "networkerror", "insufficientsystemresource", "apierror", "busy");

    private Ending() {}

    private static Map<String, Outcome> table(Map<String, Outcome> words) {
        var table = new HashMap<String, Outcome>();
        words.forEach((keys, outcome) -> Stream.of(keys.split(" ")).forEach(key -> table.put(key, outcome)));
        return Map.copyOf(table);
    }

    /**
     * Returns how an answer ended whose model stopped for this reason; empty for a word that nobody knows, which is no
     * success. Some say more behind a colon.
     */
    static Optional<Outcome> of(String reason) {
        if (reason.isBlank()) return Optional.of(Outcome.SUCCEEDED);
        var known = OF_ANSWERS.get(reason);               // as nearly all are written
        if (known != null) return Optional.of(known);
        return Stream.of(reason, reason.replaceFirst(":.*", "")).map(Ending::key).filter(OF_ANSWERS::containsKey)
            .findFirst().map(OF_ANSWERS::get);
    }

    /** Whether it ended in calls of tools. */
    static boolean isCalls(String reason) { return List.of(CALLS.split(" ")).contains(key(reason)); }

    /** Returns how a request ended in this error: broken, unless one of its words is known to say more. */
    static Outcome of(Fault fault) {
        return fault.words().stream().map(Ending::key).filter(OF_ERRORS::containsKey).findFirst().map(OF_ERRORS::get)
            .orElse(Outcome.ERRORED);
    }

    /** Whether an error says by one of its words that the same request may pass a little later. */
    static boolean isPassing(Fault fault) {
        return fault.words().stream().map(Ending::key).anyMatch(key -> PASSING.stream().anyMatch(key::contains));
    }

    private static String key(String word) {
        return word.strip().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "")
            .replaceFirst("^(finish|stop)?reason", "");
    }
}
