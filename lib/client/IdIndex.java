package sheaf;

import java.util.Arrays;
import java.util.function.LongFunction;
import java.util.stream.LongStream;

/** Which request has an id: 8 bytes for each, a hash and its number. Those of one hash are read again. */
final class IdIndex {
    private final long[] entries;                          // sorted
    private final long numbers;                            // the bits of an entry that are a number
    private final LongFunction<String> id;

    /**
     * @param count all numbers are below it
     * @param id of a number
     */
    IdIndex(LongStream some, long count, LongFunction<String> id) {
        this.id = id;
        numbers = Math.max(1, Long.highestOneBit(count) * 2) - 1;
        entries = some.map(number -> hash(id.apply(number)) | number).toArray();
        Arrays.sort(entries);
    }

    private long hash(String id) { return Hashes.hash(id) & ~numbers; }

    /** Returns the first number that has this id; -1 if none has. */
    long find(String wanted) {
        long hash = hash(wanted);
        int at = Arrays.binarySearch(entries, hash);
        for (int i = at < 0 ? -at - 1 : at; i < entries.length && (entries[i] & ~numbers) == hash; i++)
            if (id.apply(entries[i] & numbers).equals(wanted)) return entries[i] & numbers;
        return -1;
    }
}
