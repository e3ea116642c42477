package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;
import static sheaf.Messages.number;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What results and lists show, as plain values that the door passes on and that print as a table or as bars. */
public class Findings extends Outlook {
    private static final int MOST_ANSWERS = 12;           // beside the right ones, that a table has a column for
    private static final int LABEL = 30;                  // characters
    private static final int CELL = 200;                  // characters of an answer beside another
    private static final int SHOWN = 20;                  // rows of a comparison
    private static final String OTHER = "(other)";

    Findings() {}

    /** A part of a whole, each of which was right or wrong, alike or not. */
    public record Share(long part, long whole) {
        private static final double Z = 1.959964;         // of 95%

        public double value() { return (double) part / whole; }

        /** Returns the least that the share of all that there might be is, with 95% confidence, by Wilson. */
        public double low() { return Math.max(0, middle() - half()); }

        /** Returns the most that the share of all that there might be is, with 95% confidence, by Wilson. */
        public double high() { return Math.min(1, middle() + half()); }

        private double wide() { return 1 + Z * Z / whole; }

        private double middle() { return (value() + Z * Z / (2 * whole)) / wide(); }

        private double half() {
            return Z / wide() * Math.sqrt(value() * (1 - value()) / whole + Z * Z / (4.0 * whole * whole));
        }

        @Override public String toString() {
            return String.format(Locale.ROOT, "%.3f (95%%: %.3f to %.3f), %,d of %,d", value(), low(), high(), part,
                whole);
        }
    }

    /**
     * How often each answer came for each value of a column. Letter case, white space around it and a final full stop
     * do not count; a request without a whole answer stands under its outcome, {@code (errored)}.
     * @param counts by the value of the column, then by the answer
     */
    public record Confusion(String column, Map<String, Map<String, Long>> counts) {
        /** Returns how many answers are what the column says. */
        public Share accuracy() {
            return new Share(counts.entrySet().stream().mapToLong(right ->
                right.getValue().getOrDefault(right.getKey(), 0L)).sum(), sum(counts.values().stream()));
        }

        private static long sum(Stream<Map<String, Long>> counts) {
            return counts.flatMap(row -> row.values().stream()).mapToLong(Long::longValue).sum();
        }

        /** Returns the answers that have a column: the right ones, then others, the most frequent first. */
        private List<String> answers() {
            var others = new LinkedHashMap<String, Long>();
            counts.values().forEach(row -> row.forEach((answer, count) -> others.merge(answer, count, Long::sum)));
            others.keySet().removeAll(counts.keySet());
            var shown = others.entrySet().stream().sorted(Map.Entry.<String, Long>comparingByValue().reversed())
                .limit(MOST_ANSWERS).map(Map.Entry::getKey);
            var answers = new LinkedHashSet<>(counts.keySet());
            shown.forEach(answers::add);
            if (others.size() > MOST_ANSWERS) answers.add(OTHER);
            return List.copyOf(answers);
        }

        private List<String> header() {
            return Stream.concat(Stream.of(column), answers().stream().map(name -> clip(name, LABEL))).toList();
        }

        private List<List<String>> lines() { return cells(name -> name, (right, answer, count) -> text(count)); }

        private interface Cell {
            String of(String right, String answer, long count);
        }

        private List<List<String>> cells(UnaryOperator<String> label, Cell cell) {
            var answers = answers();
            return counts.entrySet().stream().map(row -> Stream.concat(
                Stream.of(label.apply(clip(row.getKey(), LABEL))), answers.stream().map(answer ->
                    cell.of(row.getKey(), answer, count(row.getValue(), answer, answers)))).toList()).toList();
        }

        private static long count(Map<String, Long> row, String answer, Collection<String> answers) {
            return !answer.equals(OTHER) ? row.getOrDefault(answer, 0L)
                : row.entrySet().stream().filter(each -> !answers.contains(each.getKey()))
                    .mapToLong(Map.Entry::getValue).sum();
        }

        private static String text(long count) { return count == 0 ? "." : number(count); }

        private String shaded(String right, String answer, long count) {
            double share = (double) count / Math.max(1, sum(Stream.of(counts.get(right))));
            return Html.shaded(text(count), share, right.equals(answer));
        }

        private String summary() { return "right: " + accuracy(); }

        /** Returns the table as HTML, for a page or a notebook, what is right in green; texts are escaped. */
        public String toHtml() {
            return Html.drawn(header(), cells(Html::cell, this::shaded)) + Html.lines(summary());
        }

        /** Returns a line for each value of the column, a column for each answer, and how many are right. */
        @Override public String toString() { return Tables.draw(header(), lines()) + summary(); }
    }

    /**
     * What was paid to one model of a provider for the requests of one template.
     * @param requests that were sent and paid, or may be: one that was sent again counts each time
     * @param usage tokens of those that tell them
     * @param unmeasured how many of the requests tell no tokens
     * @param dollars for those that tell them; empty: no price is known, or none tells them
     * @param local whether all were sent to a server on this machine, of which nobody need know a price
     */
    public record ModelCost(String provider, String model, String template, long requests, Usage usage,
                            long unmeasured, OptionalDouble dollars, boolean local) {
        private boolean isWhole() { return dollars.isPresent() && unmeasured == 0; }

        private boolean isUnpriced() { return dollars.isEmpty() && unmeasured < requests; }

        private Stream<String> names(boolean hasProviders, boolean hasTemplates) {
            return Stream.of(hasProviders ? provider : null, model, hasTemplates ? template : null)
                .filter(Objects::nonNull);
        }

        private List<String> cells(Stream<String> names) {
            boolean isMeasured = unmeasured < requests;
            return Stream.concat(names, Stream.of(number(requests), isMeasured ? number(usage.input()) : "?",
                isMeasured ? number(usage.output()) : "?",
                price())).toList();
        }

        private String bar(long most) {
            return Html.bar(number(usage.input()) + " in, " + number(usage.output()) + " out", most, usage.input(),
                usage.output());
        }

        /** Returns what is known of the dollars. */
        String price() {
            if (dollars.isEmpty()) return "?";
            return (isWhole() ? "" : "over ") + Messages.dollars(dollars.getAsDouble());
        }
    }

    /**
     * What results have cost, with every time that a request was sent again and what a sample of the draft had asked.
     * It prints as a table.
     * @param models in the order of their first requests, by model and then template
     * @param priceSources who says the prices, and since when
     * @param before answers that were taken over from earlier batches: they were paid there, and are in no other figure
     * @param dollarsBefore for those; empty: nobody knows
     */
    public record Cost(List<ModelCost> models, List<String> priceSources, long before, OptionalDouble dollarsBefore) {
        /** Returns the dollars of all; empty where a price or the tokens of a request are not known. */
        public OptionalDouble dollars() {
            return models.stream().allMatch(ModelCost::isWhole) ? OptionalDouble.of(known()) : OptionalDouble.empty();
        }

        private double known() { return models.stream().mapToDouble(model -> model.dollars.orElse(0)).sum(); }

        private boolean hasSeveral(Function<ModelCost, String> name) {
            return models.stream().map(name).distinct().count() > 1;
        }

        private Stream<String> names(ModelCost line) {
            return line.names(hasSeveral(ModelCost::provider), hasSeveral(ModelCost::template));
        }

        /** Returns what tells the requests of a line from others. */
        String nameOf(ModelCost line) { return names(line).collect(Collectors.joining(", ")); }

        private List<String> header() {
            var names = names(new ModelCost("provider", "model", "template", 0, Usage.NONE, 0, null, false));
            return Stream.concat(names, Stream.of("requests", "tokens in", "out", "price")).toList();
        }

        private List<List<String>> cells() { return models.stream().map(model -> model.cells(names(model))).toList(); }

        /** Returns the dollars in a few words, or that nobody knows them. */
        public String summary() {
            if (models.isEmpty()) return "nothing was paid";
            if (dollars().isPresent()) return Messages.dollars(known());
            if (models.stream().anyMatch(model -> model.dollars.isPresent()))
                return "more than " + Messages.dollars(known());
            return models.stream().allMatch(line -> line.isUnpriced() && line.local) ? NO_PRICE_HERE : "price unknown";
        }

        /** Returns what is to be known of the numbers, a line each. */
        List<String> notes() {
            var notes = new ArrayList<String>();
            priceSources.forEach(source -> notes.add("price: " + source));
            unpriced(models.stream().filter(line -> line.isUnpriced() && !line.local).map(ModelCost::model),
                models.stream().anyMatch(line -> line.isUnpriced() && line.local)).forEach(notes::add);
            long unmeasured = models.stream().mapToLong(ModelCost::unmeasured).sum();
            if (unmeasured > 0) notes.add("tokens: " + count(unmeasured, "request") + " may be paid and "
                + (unmeasured == 1 ? "tells none, so what it cost is" : "tell none, so what they cost is")
                + " not counted");
            if (before > 0) notes.add("before: " + count(before, "answer") + " of earlier batches, paid there"
                + (dollarsBefore.isEmpty() ? "" : " with " + Messages.dollars(dollarsBefore.getAsDouble()))
                + " and not counted here");
            return notes;
        }

        /** Prints it to stdout as a table. */
        public void show() { System.out.println(this); }

        /** Returns the table as HTML, for a page or a notebook, with bars of the tokens; texts are escaped. */
        public String toHtml() {
            var header = Stream.concat(header().stream(), Stream.of("tokens in, then out")).toList();
            long most = models.stream().mapToLong(model -> model.usage.total()).max().orElse(0);
            var rows = models.stream().map(model -> Stream.concat(
                model.cells(names(model)).stream().map(Html::cell), Stream.of(model.bar(most))).toList()).toList();
            return (models.isEmpty() ? "" : Html.drawn(header, rows)) + Html.lines(below());
        }

        private String below() {
            long requests = models.stream().mapToLong(ModelCost::requests).sum();
            var sum = summary() + (models.isEmpty() ? "" : " for " + count(requests, "request"));
            return Stream.concat(Stream.of(sum), notes().stream()).collect(Collectors.joining("\n"));
        }

        @Override public String toString() {
            return (models.isEmpty() ? "" : Tables.draw(header(), cells()) + "\n") + below();
        }
    }

    /** A row whose two answers differ, or came only once: {@code (errored)}; {@code right} is "" where nobody says. */
    public record Change(String id, String first, String second, String right) {
        private List<String> cells(boolean hasRight) {
            var cells = hasRight ? Stream.of(id, right, first, second) : Stream.of(id, first, second);
            return cells.map(cell -> clip(cell, CELL)).toList();
        }
    }

    /**
     * One of two results that are compared.
     * @param right how many of its answers are right; empty if no column says what is
     * @param alone how many are right where the other's is not
     */
    public record Side(String name, Optional<Share> right, long alone, Cost cost) {
        private String summary() {
            var known = Stream.of(right.map(share -> "right: " + share).orElse(""),
                cost.models().isEmpty() ? "" : cost.summary()).filter(text -> !text.isEmpty());
            return name + ": " + known.collect(Collectors.joining("; "));
        }
    }

    /**
     * The answers of two results to the same rows. It prints as a table of those that differ.
     * @param agreement in how many rows both have the same whole answer; letter case and a final full stop do not count
     * @param changes the other rows
     * @param unpaired results whose row the other side does not have
     */
    public record Comparison(Side first, Side second, Share agreement, List<Change> changes, long unpaired) {
        /** Returns which of them is right more often; empty where nobody says what is right, or in a draw. */
        public Optional<Side> winner() {
            if (first.alone == second.alone) return Optional.empty();
            return Optional.of(first.alone > second.alone ? first : second);
        }

        /** Returns whether chance makes such a difference less than once in twenty times, or thereabouts. */
        public boolean isSure() {
            return winner().filter(side -> new Share(side.alone, first.alone + second.alone).low() > 0.5).isPresent();
        }

        private List<String> header() {
            return Stream.concat(hasRight() ? Stream.of("id", "right") : Stream.of("id"),
                Stream.of(first.name, second.name)).toList();
        }

        private boolean hasRight() { return first.right.isPresent(); }

        private List<List<String>> cells() {
            return changes.stream().limit(SHOWN).map(change -> change.cells(hasRight())).toList();
        }

        private String below() {
            int more = changes.size() - SHOWN;
            return Stream.of(more > 0 ? "and " + count(more, "more row") + " with other answers" : "",
                    "the same answer: " + agreement,
                    unpaired == 0 ? "" : "left out: " + count(unpaired, "result") + " of a row that only one has",
                    first.summary(), second.summary(), hasRight() ? verdict() : "")
                .filter(line -> !line.isEmpty()).collect(Collectors.joining("\n"));
        }

        private String verdict() {
            if (winner().isEmpty())
                return "neither wins: " + (first.alone == 0 ? "where one is right, so is the other"
                    : "each alone is right in " + count(first.alone, "row"));
            var best = winner().get();
            var other = best == first ? second : first;
            return best.name + " wins" + price(best, other) + ": it alone is right in " + count(best.alone, "row")
                + ", " + other.name + " alone in " + number(other.alone) + (isSure() ? "" : ", which may be chance");
        }

        /** Says for how much more or less it wins, if both prices are known. */
        private static String price(Side best, Side other) {
            var paid = Stream.of(best, other).map(side -> side.cost.dollars()).toList();
            boolean isKnown = paid.stream().allMatch(OptionalDouble::isPresent);
            double more = isKnown ? paid.get(0).getAsDouble() - paid.get(1).getAsDouble() : 0;
            if (more == 0) return "";
            return " for " + Messages.dollars(Math.abs(more)) + (more > 0 ? " more" : " less");
        }

        /** Prints it to stdout. */
        public void show() { System.out.println(this); }

        /** Returns the table as HTML, for a page or a notebook; texts are escaped. */
        public String toHtml() {
            return (changes.isEmpty() ? "" : Html.table(header(), cells())) + Html.lines(below());
        }

        @Override public String toString() {
            return (changes.isEmpty() ? "" : Tables.draw(header(), cells()) + "\n") + below();
        }
    }
}
