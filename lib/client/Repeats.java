package sheaf;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.LongFunction;
import java.util.stream.IntStream;

/** Which requests say the same as one before them, their ids aside. */
final class Repeats {
    private static final int NUMBER_BITS = 28;            // of an entry: a request's number; the rest is a hash
    private static final long NUMBERS = (1L << NUMBER_BITS) - 1;
    private final Map<Long, Long> firsts = new HashMap<>();       // by the number of a repeat, from 0
    private final Set<Long> repeated = new HashSet<>();           // the values of these
    private final LongFunction<String> body;

    /** @param body of a request, without its id */
    Repeats(long requests, LongFunction<String> body) {
        this.body = body;
        if (requests > NUMBERS)
            throw new IllegalStateException("distinct: " + Messages.count(requests, "request")
                + " are more than can be compared");
        var entries = new long[(int) requests];
        for (int i = 0; i < entries.length; i++) entries[i] = Json.Digest.hash(body.apply(i)) & ~NUMBERS | i;
        Arrays.sort(entries);
        for (int from = 0, to; from < entries.length; from = to) {
            for (to = from + 1; to < entries.length && isSameHash(entries[from], entries[to]); ) to++;
            if (to - from > 1) compare(Arrays.copyOfRange(entries, from, to));
        }
    }

    private static boolean isSameHash(long one, long other) { return (one & ~NUMBERS) == (other & ~NUMBERS); }

    /** Two of one hash may still differ. */
    private void compare(long[] entries) {
        var byBody = new HashMap<String, Long>();
        for (long entry : entries) {
            var first = byBody.putIfAbsent(body.apply(entry & NUMBERS), entry & NUMBERS);
            if (first == null) continue;
            firsts.put(entry & NUMBERS, first);
            repeated.add(first);
        }
    }

    long count() { return firsts.size(); }

    /** Whether a later one says the same as this one, the first. */
    boolean isRepeated(long request) { return repeated.contains(request); }

    boolean isRepeat(long request) { return firsts.containsKey(request); }

    /** Returns the first request that says the same: it itself, if none before it does. */
    long first(long request) { return firsts.getOrDefault(request, request); }

    /** Counts those of requests that come one after another, by a hash that takes next to no time. */
    static final class Counter {
        private static final VarHandle EIGHT = MethodHandles.byteArrayViewVarHandle(long[].class, LITTLE_ENDIAN);
        private static final byte[] OWN_ID = ("{\"custom_id\":\"" + Requests.ID).getBytes(US_ASCII);
        private static final long ODD = 0x9E3779B97F4A7C15L;          // mixes well: 2^64 by the golden ratio
        private long[] hashes = new long[64];
        private int size;

        /** Ids that are not our own stand anywhere in a line, so these are not compared. */
        void add(byte[] line) {
            if (!Arrays.equals(line, 0, Math.min(line.length, OWN_ID.length), OWN_ID, 0, OWN_ID.length)) return;
            int at = OWN_ID.length;
            while (line[at] != '"') at++;
            if (size == hashes.length) hashes = Arrays.copyOf(hashes, 2 * size);
            hashes[size++] = hash(line, at);
        }

        private static long hash(byte[] line, int from) {
            long hash = line.length - from;
            int at = from;
            for (; at + Long.BYTES <= line.length; at += Long.BYTES) hash = mixed(hash ^ (long) EIGHT.get(line, at));
            for (; at < line.length; at++) hash = mixed(hash ^ line[at]);
            return hash;
        }

        private static long mixed(long hash) { return (hash ^ hash >>> 32) * ODD; }

        void clear() { size = 0; }

        long count() {
            Arrays.sort(hashes, 0, size);
            return IntStream.range(1, size).filter(i -> hashes[i] == hashes[i - 1]).count();
        }
    }
}
