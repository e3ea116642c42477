package sheaf;

import com.openai.core.http.Headers;

/**
 * Who a server says that it is, with each answer: its store, and what answers behind it. Sheaf's own server does, on
 * whatever port; any other is who its base URL says.
 */
record Identity(String store, String engine) {
    /** Of a server that does not say. */
    static final Identity UNTOLD = new Identity("", "");

    static Identity of(Headers headers) {
        return new Identity(first(headers, "x-sheaf-store"), first(headers, "x-sheaf-engine"));
    }

    private static String first(Headers headers, String name) {
        return headers.values(name).stream().findFirst().orElse("");
    }

    boolean isTold() { return !store.isEmpty(); }

    /** Whether it says what answers behind it only to those who have its key. */
    boolean isHalfTold() { return isTold() && engine.isEmpty(); }

    /** Whether this one has the files and batches of that one. */
    boolean hasStoreOf(Identity other) { return store.equals(other.store); }

    @Override public String toString() {
        var shortened = "store " + store.substring(0, Math.min(8, store.length()));
        return engine.isEmpty() ? shortened : shortened + " and the engine " + engine;
    }
}
