package sheaf.commands;

import static sheaf.Sheaf.batch;

import java.util.List;
import java.util.Optional;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;

/** Who is asked. */
final class ProviderOption {
    @Option(names = "--provider", paramLabel = "NAME", scope = ScopeType.INHERIT, order = 8, converter = ByName.class,
        description = "who runs it: a name, such as openai, or a base URL (default: SHEAF_PROVIDER, OPENAI_BASE_URL "
            + "or the only key that is set)")
    private Provider named;

    @Option(names = "--engine", paramLabel = "NAME", scope = ScopeType.INHERIT, order = 8, converter = ByEngine.class,
        description = "who answers instead, one request at a time and at its full price, if it has no batches: ollama, "
            + "lmstudio, vllm, llama-server, openrouter, mistral, cerebras, or a base URL (default: SHEAF_ENGINE)")
    private Provider engine;

    boolean isGiven() { return named != null || engine != null; }

    Draft setOn(Draft draft) { return isGiven() ? draft.provider(given()) : draft; }

    Provider chosen() { return isGiven() ? given() : Provider.chosen(); }

    /** Refuses shares beside it: they say who answers, too. */
    void checkAlone(List<String> shares) {
        if (isGiven() && !shares.isEmpty()) throw two(named != null ? "--provider" : "--engine", "--share");
    }

    private static IllegalArgumentException two(String one, String other) {
        return new IllegalArgumentException("batch: " + one + " and " + other + " both say who answers; give one");
    }

    private Provider given() {
        if (named != null && engine != null) throw two("--provider", "--engine");
        return named != null ? named : engine;
    }

    /** Returns who can be asked; nobody, with a reason on stderr, where none was named and there is no key. */
    Optional<Provider> askable(String word) {
        if (isGiven()) return Optional.of(given());
        try {
            var chosen = Provider.chosenUnasked();
            if (chosen.hasKey()) return Optional.of(chosen);
            System.err.println(word + ": asked no provider: " + chosen.keyVariable()
                + " is not set; set it, or name another provider by --provider");
        } catch (IllegalStateException noneOrTwo) {
            System.err.println(word + ": asked no provider: " + noneOrTwo.getMessage().replaceFirst("^provider: ", ""));
        }
        return Optional.empty();
    }

    /** Returns the batch of this id or name: without the option, one that is kept here is its own provider's. */
    Batch find(String id) { return isGiven() ? given().batch(id) : batch(id); }

    static final class ByEngine implements ITypeConverter<Provider> {
        @Override public Provider convert(String nameOrUrl) { return Provider.named("engine:" + nameOrUrl); }
    }

    static final class ByName implements ITypeConverter<Provider> {
        @Override public Provider convert(String nameOrUrl) { return Provider.named(nameOrUrl); }
    }
}
