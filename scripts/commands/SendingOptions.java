//SOURCES NameOption.java

package sheaf.commands;

import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** Which requests are sent, how often, and under which name. */
final class SendingOptions {
    @Mixin NameOption name;

    @Option(names = "--repair", paramLabel = "N",
        description = "sends again, at most N times, what may end better: cut off, expired, broken or missing")
    Integer repair;

    boolean repairs() { return repair != null; }

    Draft setOn(Draft draft) {
        draft = name.setOn(draft);
        return repairs() ? draft.repair(repair) : draft;
    }
}
