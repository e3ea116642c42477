package sheaf.model;

import java.util.List;

/**
 * A file of weights that can be fetched: what it is, what tells it from all others, and the places that have it, in the
 * order to try them.
 */
record ModelFile(String name, String quantization, String licence, long bytes, String sha256,
        List<? extends Download> places) {
    private static final long ENGINE = 300_000_000;   // bytes, beside the weights

    String details() { return quantization + ", " + Download.megabytes(bytes) + ", " + licence; }

    /** Whether a name is the model's; "-Instruct" may be left out, and case does not count. */
    boolean isCalled(String given) {
        return given.equalsIgnoreCase(name) || given.equalsIgnoreCase(name.replaceFirst("-Instruct$", ""));
    }

    /** Returns about how many bytes of memory the model takes at work: its weights, its four slots, its engine. */
    long memory() { return bytes + bytes / 4 + ENGINE; }

    @Override public String toString() { return name + " (" + details() + ")"; }
}
