package sheaf;

/**
 * Which texts came before, by a hash of 64 bits: 10 to 13 bytes for each of very many. Two texts of one hash may still
 * differ, so whoever is told of one looks again.
 */
final class Hashes {
    private static final int TABLE_BITS = 10;
    private static final int FIRST = 8;                                // places of a table
    private static final long ODD = 0x9E3779B97F4A7C15L;               // mixes well: 2^64 by the golden ratio
    /** By the first bits of a hash, each from the place that the next ones name; 0: none. Only one grows at a time. */
    private final long[][] tables = new long[1 << TABLE_BITS][];
    private final int[] sizes = new int[1 << TABLE_BITS];

    /** Returns false if one with this hash was added before. */
    boolean add(String text) { return add(hash(text)); }

    boolean add(long hash) {
        int number = (int) (hash >>> Long.SIZE - TABLE_BITS);
        long known = hash == 0 ? 1 : hash;                             // which is then looked at again
        if (tables[number] == null) tables[number] = new long[FIRST];
        int place = place(tables[number], known);
        if (tables[number][place] == known) return false;
        tables[number][place] = known;
        if (5 * ++sizes[number] > 4 * tables[number].length) tables[number] = larger(tables[number]);
        return true;
    }

    private static int place(long[] table, long hash) {
        int place = (int) ((hash << TABLE_BITS >>> 33) * table.length >>> 31);
        while (table[place] != 0 && table[place] != hash) place = place + 1 == table.length ? 0 : place + 1;
        return place;
    }

    private static long[] larger(long[] table) {
        var larger = new long[table.length + table.length / 4];
        for (long hash : table)
            if (hash != 0) larger[place(larger, hash)] = hash;
        return larger;
    }

    static long hash(String text) {
        long hash = text.length();
        for (int i = 0; i < text.length(); i++) hash = mixed(hash ^ text.charAt(i));
        return mixed(hash);
    }

    private static long mixed(long hash) {
        long product = hash * ODD;
        return product ^ product >>> 32;
    }

    /** Returns how many bytes of memory they take. */
    long bytes() {
        long bytes = 0;
        for (var table : tables) bytes += table == null ? 0 : 8L * table.length;
        return bytes;
    }
}
