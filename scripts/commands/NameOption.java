package sheaf.commands;

import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** What a batch is kept and found under. */
final class NameOption {
    @Option(names = "--name", paramLabel = "NAME",
        description = "what the batch is kept under, such as tickets-2026-03-01 (default: the data's name, or "
            + "the prompt's first words)")
    String name;

    boolean isGiven() { return name != null; }

    Draft setOn(Draft draft) { return isGiven() ? draft.name(name) : draft; }
}
