package sheaf.commands;

import static sheaf.Sheaf.batch;

import java.util.Optional;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.TypeConversionException;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;

/** Who is asked. */
final class ProviderOption {
    @Option(names = "--provider", paramLabel = "NAME", scope = ScopeType.INHERIT, order = 8, converter = ByName.class,
        description = "who runs it: a name, such as openai, or a base URL (default: SHEAF_PROVIDER, OPENAI_BASE_URL "
            + "or the only key that is set)")
    Provider provider;

    boolean isGiven() { return provider != null; }

    Draft setOn(Draft draft) { return isGiven() ? draft.provider(provider) : draft; }

    Provider chosen() { return isGiven() ? provider : Provider.chosen(); }

    /** Returns who can be asked; nobody, with a reason on stderr, where none was named and there is no key. */
    Optional<Provider> askable(String word) {
        if (isGiven()) return Optional.of(provider);
        try {
            var chosen = Provider.chosen();
            if (chosen.hasKey()) return Optional.of(chosen);
            System.err.println(word + ": asked no provider: " + chosen.keyVariable()
                + " is not set; set it, or name another provider by --provider");
        } catch (IllegalStateException noneOrTwo) {
            System.err.println(word + ": asked no provider: " + noneOrTwo.getMessage().replaceFirst("^provider: ", ""));
        }
        return Optional.empty();
    }

    /** Returns the batch of this id or name: without the option, one that is kept here is its own provider's. */
    Batch find(String id) { return isGiven() ? provider.batch(id) : batch(id); }

    static final class ByName implements ITypeConverter<Provider> {
        @Override public Provider convert(String nameOrUrl) {
            try {
                return Provider.named(nameOrUrl);
            } catch (IllegalArgumentException | IllegalStateException neither) {
                throw new TypeConversionException(neither.getMessage().replaceFirst("^provider: ", ""));
            }
        }
    }
}
