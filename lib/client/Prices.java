package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.clip;
import static sheaf.Messages.visible;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import sheaf.Vocabulary.Usage;

/** What providers ask for tokens, by model: a table or provider of the user's own, else the table that comes along. */
final class Prices {
    /** The variable that names the user's table. */
    static final String VARIABLE = "SHEAF_PRICES";
    private static final String SHIPPED = "data/prices.csv";
    private static final List<String> NEEDED = List.of("model", "input", "output");
    /** What the table calls providers that are known by their address alone. */
    private static final Map<String, String> HOSTS = Map.of("api.anthropic.com", "anthropic", "api.mistral.ai",
        "mistral", "api.x.ai", "xai", "generativelanguage.googleapis.com", "gemini");
    /** The end of a name that dates a release, and does not change its price: -2025-04-14, -20250929 or -001. */
    private static final Pattern RELEASE = Pattern.compile("-([0-9]{4}-[0-9]{2}-[0-9]{2}|20[0-9]{6}|00[0-9])$");
    private final Map<String, Price> prices = new HashMap<>();      // by provider and model; any provider is ""

    private Prices(OwnProvider provider) {
        var table = new InputFile("provider", provider.place() + ".prices", null, null);
        provider.prices().forEach(cells -> add(new Line(table, provider.place(), prices.size() + 1, cells).checked()));
    }

    private Prices(InputFile table, String title) {
        try (var rows = CsvFile.of(table).open(none -> {})) {
            int number = 0;
            for (var row = rows.read(); row != null; row = rows.read())
                add(new Line(table, title, ++number, row).checked());
        } catch (IOException e) {
            throw cannot(VARIABLE, "read " + table.name(), e);
        }
    }

    /** The table that comes along is read once, and when it is first needed. */
    private static final class Shipped {
        private static final Optional<Prices> TABLE = Optional.ofNullable(Prices.class.getResource("/" + SHIPPED))
            .map(file -> new Prices(new InputFile("prices", SHIPPED, null, file), ""));
    }

    /**
     * Returns what a provider asks for this model; empty if no table knows it. The end of a name that only dates a
     * release need not stand there.
     * @param provider a preset's name, or the address of any other
     * @throws IllegalArgumentException if the user's table cannot be read
     */
    static Optional<Price> of(String provider, String model) {
        var own = Environment.get(VARIABLE);
        var first = own.isEmpty() ? Optional.<Prices>empty()
            : Optional.of(new Prices(InputFile.find(VARIABLE, own), VARIABLE + "=" + own));
        var ofProvider = OwnProvider.all().filter(one -> one.address().equals(provider)).map(Prices::new);
        return Stream.of(first.stream(), ofProvider, Shipped.TABLE.stream()).flatMap(tables -> tables)
            .flatMap(table -> table.find(provider, model)).findFirst();
    }

    private Stream<Price> find(String provider, String model) {
        var host = provider.replaceFirst("/.*", "");
        var known = HOSTS.getOrDefault(host, provider);
        return Stream.of(model, RELEASE.matcher(model).replaceFirst(""))
            .flatMap(name -> Stream.of(key(known, name), key("", name))).map(prices::get).filter(Objects::nonNull);
    }

    private static String key(String provider, String model) {
        return (provider + " " + model).toLowerCase(Locale.ROOT);
    }

    private void add(Line line) {
        var provider = line.text("provider");
        var here = new Rates(line.needed("input"), line.or("cached_input", line.needed("input")),
            line.needed("output"));
        double input = line.or("batch_input", here.input);
        double output = line.or("batch_output", here.output);
        boolean saysBatch = !line.text("batch_input").isEmpty() && !line.text("batch_output").isEmpty();
        var batch = saysBatch ? new Rates(input, line.or("batch_cached_input", input), output) : null;
        prices.put(key(provider, line.text("model")), new Price(here, batch, line.source()));
    }

    /** Dollars for a million tokens: of input, of input that the provider had read before, of output. */
    record Rates(double input, double cached, double output) {
        private static final double MILLION = 1_000_000;

        double of(Usage usage) {
            return ((usage.input() - usage.cached()) * input + usage.cached() * cached + usage.output() * output)
                / MILLION;
        }
    }

    /**
     * What a provider asks for one model.
     * @param here of requests that are answered at once
     * @param batch of requests in a batch; null: nobody says, and then the others count, for no batch costs more
     * @param source who says so, and since when
     */
    record Price(Rates here, Rates batch, String source) {
        /** Returns the price that the user gives, for whatever is sent. */
        static Price given(double input, double output) {
            if (!(Math.min(input, output) >= 0 && Double.isFinite(input) && Double.isFinite(output)))
                throw new IllegalArgumentException("price: " + Messages.plain(input) + " and " + Messages.plain(output)
                    + " are no dollars for a million tokens, in and out");
            var rates = new Rates(input, input, output);
            return new Price(rates, rates, Wording.GIVEN_PRICE.of(Messages.plain(input), Messages.plain(output)));
        }

        boolean saysBatch() { return batch != null; }

        /** Returns who says so, and of what, where nobody says what a batch costs. */
        String source(boolean isBatch) {
            return source + (saysBatch() || !isBatch ? "" : ", of requests one by one, for nobody says what a batch "
                + "costs");
        }

        /** Returns how many dollars these tokens cost. */
        double of(Usage usage, boolean isBatch) { return rates(isBatch).of(usage); }

        Rates rates(boolean isBatch) { return isBatch && batch != null ? batch : here; }
    }

    /** One line of a table. */
    private record Line(InputFile table, String title, int number, Map<String, Object> cells) {
        Line checked() {
            for (var column : NEEDED)
                if (!cells.containsKey(column))
                    throw new IllegalArgumentException(table.word() + ": " + table.name() + " has no column " + column
                        + " (" + visible(cells.keySet()) + "); it needs " + String.join(", ", NEEDED));
            var currency = Objects.toString(cells.get("currency"), "").strip();
            if (!currency.matches("(?i)(USD)?")) throw fault("currency \"" + clip(currency, 20)
                + "\" is not USD; write dollars");
            return this;
        }

        String text(String column) { return Objects.toString(cells.get(column), "").strip(); }

        double needed(String column) {
            if (text(column).isEmpty()) throw fault(column + " is empty; write dollars for a million tokens");
            return or(column, 0);
        }

        double or(String column, double other) {
            if (text(column).isEmpty()) return other;
            if (text(column).matches("[0-9]*\\.?[0-9]+")) return Double.parseDouble(text(column));
            throw fault(column + " \"" + clip(text(column), 20) + "\" is no price; write dollars for a million tokens, "
                + "such as 0.15");
        }

        String source() {
            var said = Stream.of(text("source"), text("date")).filter(part -> !part.isEmpty()).toList();
            return said.isEmpty() ? title : String.join(", ", said);
        }

        private IllegalArgumentException fault(String what) {
            return new IllegalArgumentException(table.word() + ": " + table.name() + " row " + number + ": " + what);
        }
    }
}
