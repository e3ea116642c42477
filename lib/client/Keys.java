package sheaf;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Providers' keys: what the environment says, else what is typed in at the terminal, for as long as this process. */
final class Keys {
    private static final Map<String, String> ASKED = new ConcurrentHashMap<>();

    private Keys() {}

    /** There is no key for a provider that needs one. */
    static final class Missing extends IllegalStateException {
        Missing(String what) { super(what); }
    }

    /** Returns a provider's key; where none is set, one typed in, and where none is needed any. */
    static String key(String provider, String variable, boolean needsNone) {
        var key = Environment.get(variable);
        if (!key.matches("[\\x21-\\x7e]*"))
            throw new IllegalStateException("provider: " + variable + " holds a character that no key has");
        if (!key.isEmpty()) return key;
        if (needsNone) return "none";
        if (!canAsk() && !ASKED.containsKey(variable))
            throw new Missing("provider: no key for " + provider + "; set " + variable);
        return ASKED.computeIfAbsent(variable, absent -> ask(provider, absent));
    }

    private static boolean canAsk() { return System.console() != null && Environment.get("CI").isEmpty(); }

    private static String ask(String provider, String variable) {
        var typed = System.console().readPassword("Without a key: press Enter and %s%n"
            + "Key for %s (hidden; %s is not set): ", free(), provider, variable);
        if (typed == null)                                 // JShell reads the terminal itself
            throw new Missing("provider: no key for " + provider + ", and none can be typed "
                + "in here; set " + variable + " and start again");
        var key = new String(typed).strip();
        if (key.isEmpty())
            throw new Missing("provider: no key for " + provider + "; set " + variable + ", or " + free());
        return key;
    }

    /** Returns how to do without a key. */
    private static String free() { return Wording.LOCAL + ", a small free model on this machine"; }

    /**
     * Returns the only provider whose key is set; empty if none is, and one may and can be typed in.
     * @param known by their names
     * @throws IllegalStateException if several are set, or none and nobody to be asked
     */
    static <P> Optional<P> theOnly(Map<String, P> known, Function<P, String> variable, boolean mayAsk) {
        Function<String, String> keyOf = name -> variable.apply(known.get(name));
        var set = known.keySet().stream().filter(name -> !Environment.get(keyOf.apply(name)).isEmpty()).toList();
        if (set.size() == 1) return Optional.of(known.get(set.get(0)));
        if (set.isEmpty() && mayAsk && canAsk()) return Optional.empty();
        if (set.isEmpty())
            throw new IllegalStateException("provider: no key; looked for " + known.values().stream().map(variable)
                .distinct().collect(Collectors.joining(", ")) + "; set one, or " + free());
        var keys = set.stream().map(keyOf).distinct().toList();
        throw new IllegalStateException("provider: " + String.join(" and ", keys) + " " + areSet(keys, set)
            + "; choose with " + Wording.PROVIDER.of(set.get(0)) + " or SHEAF_PROVIDER=" + set.get(0));
    }

    private static String areSet(List<String> keys, List<String> providers) {
        if (keys.size() == 1) return "is set, the key of " + String.join(" and ", providers);
        return "are " + (keys.size() == 2 ? "both" : "all") + " set";
    }
}
