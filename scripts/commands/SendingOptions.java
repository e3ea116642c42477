//SOURCES NameOption.java

package sheaf.commands;

import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** Which requests are sent, how often, and under which name. */
final class SendingOptions {
    @Mixin NameOption name;

    @Option(names = "--reuse",
        description = "sends only requests that the batch last kept under the name has no answer to")
    boolean reuse;

    @Option(names = "--repair", paramLabel = "N",
        description = "sends again, at most N times, what may end better: cut off, expired, broken or missing")
    Integer repair;

    boolean repairs() { return repair != null; }

    Draft setOn(Draft draft) {
        draft = name.setOn(draft);
        if (repairs()) draft = draft.repair(repair);
        return reuse ? draft.reuse() : draft;
    }
}
