package sheaf.commands;

import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** What a batch is kept and found under. */
final class NameOption {
    @Option(names = "--name", paramLabel = "NAME",
        description = "what the batch is kept under (default: the data's name and the prompt's first words); "
            + "another name asks anew what was answered before")
    String name;

    boolean isGiven() { return name != null; }

    Draft setOn(Draft draft) { return isGiven() ? draft.name(name) : draft; }
}
