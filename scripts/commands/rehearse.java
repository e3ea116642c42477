///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Do all that ask would, but at a server on this machine with faults and invented answers
//SOURCES ../../lib/Rehearsal.java
//SOURCES ask.java

package sheaf.commands;

import java.util.function.IntPredicate;
import sheaf.rehearsal.Rehearsal;

/** Takes what ask takes. */
class rehearse {
    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) {
        try (var rehearsal = Rehearsal.start()) {
            return ask.run(terminal, rehearsal.baseUrl(), args);
        }
    }
}
