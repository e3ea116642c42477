///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Do all that ask would, but at a server on this machine with faults and invented answers
//SOURCES ../../lib/Rehearsal.java
//SOURCES ask.java

package sheaf.commands;

import java.util.List;
import java.util.function.IntPredicate;
import java.util.stream.Stream;
import sheaf.rehearsal.Rehearsal;

/** Takes what ask takes. */
class rehearse {
    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) {
        return run(terminal, TableFiles.NONE, args);
    }

    /** For a command that has a rehearsal within it. */
    static int runOrRehearse(IntPredicate terminal, TableFiles tables, String... args) {
        if (!List.of(args).contains("--rehearse")) return ask.run(terminal, null, tables, args);
        return run(terminal, tables, Stream.of(args).filter(arg -> !arg.equals("--rehearse")).toArray(String[]::new));
    }

    private static int run(IntPredicate terminal, TableFiles tables, String... args) {
        try (var rehearsal = Rehearsal.start()) {
            return ask.run(terminal, rehearsal.baseUrl(), tables, args);
        }
    }
}
