package sheaf;

import static sheaf.Messages.count;
import static sheaf.Messages.dollars;
import static sheaf.Messages.number;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What a draft would send and cost, as plain values that the door passes on; they know no table of prices. */
public class Outlook extends Listings {
    /** Instead of dollars: a model of its own costs nothing there, and nobody knows whom else the server may ask. */
    static final String NO_PRICE_HERE = "no price on this machine";

    Outlook() {}

    /** Says of which models no price is known, and how to give one. */
    static List<String> unpriced(Stream<String> models, boolean isAnyLocal) {
        var notes = new ArrayList<String>();
        var elsewhere = models.distinct().toList();
        if (!elsewhere.isEmpty())
            notes.add("price: none is known for " + String.join(", ", elsewhere) + "; " + Wording.PRICE);
        if (isAnyLocal) notes.add("price: a server on this machine asks none; " + Wording.PRICE);
        return notes;
    }

    /** Says what requests cost that say the same as one before them: several answers may be just what is wanted. */
    static String ofRepeats() {
        return "each is paid for an answer of its own; if one answer would do for all, " + Wording.DISTINCT
            + " sends each once";
    }

    /**
     * The first request lines of a draft, and what submitting all of them would send.
     * @param fault what is wrong with a later row or line, in the place of the estimate; "" if nothing is
     */
    public record Preview(List<String> lines, Estimate estimate, String fault) {
        /**
         * Returns what submitting the draft would send.
         * @throws IllegalStateException if a row is at fault
         */
        @Override public Estimate estimate() {
            if (!fault.isEmpty()) throw new IllegalStateException(fault);
            return estimate;
        }

        /** Returns the estimate in a line, or what is wrong. */
        public String summary() { return fault.isEmpty() ? estimate.summary() : fault; }

        /** Prints the lines to stdout, as JSON Lines, and the summary to stderr. */
        public void show() {
            lines.forEach(System.out::println);
            System.err.println(summary());
        }

        /** Returns the lines and the summary as HTML, for a page or a notebook; they are escaped. */
        public String toHtml() { return Html.lines(String.join("\n", lines)) + Html.lines(summary()); }

        /** Returns the lines, and the summary below them. */
        @Override public String toString() {
            return lines.stream().map(line -> line + "\n").collect(Collectors.joining()) + summary();
        }
    }

    /**
     * What submitting a draft would send to one model of a provider.
     * @param tokens of the prompts, as {@code encoding} splits them
     * @param mostOutput tokens that the answers may have together; empty if some have no limit
     * @param encoding a tokenizer of OpenAI's
     * @param assumed whether nobody knows that the model splits texts so
     * @param inputDollars for the prompts in a batch; empty: no price is known
     * @param mostDollars for the prompts, and for answers as long as they may be; empty: nobody knows
     * @param priceSource who says the price, and since when; "" if no price is known
     */
    public record ModelEstimate(String provider, String model, long requests, long tokens, OptionalLong mostOutput,
                                String encoding, boolean assumed, OptionalDouble inputDollars,
                                OptionalDouble mostDollars, String priceSource) {
        private String name(boolean hasProviders) { return hasProviders ? model + " at " + provider : model; }

        private List<String> cells() {
            return List.of(provider, model, number(requests), number(tokens),
                mostOutput.isPresent() ? number(mostOutput.getAsLong()) : "no limit", cell(inputDollars),
                cell(mostDollars));
        }

        private static String cell(OptionalDouble amount) {
            return amount.isPresent() ? dollars(amount.getAsDouble()) : "?";
        }
    }

    /**
     * What submitting a draft would send, by what this disk knows, and cost. It prints as a table.
     * @param answered requests that earlier batches have answered, whose answers would be taken over
     * @param submitted requests that were sent before, in this very batch or an earlier one, and would not be again
     * @param repeats requests whose body is that of one before them: each is paid, unless the draft says distinct
     * @param repeatDollars what those of the repeats cost at most that are to be sent; empty: nobody knows
     * @param parts input files that are still to be sent, each a batch at the provider
     * @param models to which something is to be sent, in the order of their first requests
     * @param uncounted images and other parts of prompts that are no text; their tokens are not counted
     * @param distinct whether repeats are left out, for their answer is that of the first
     * @param local whether a server on this machine answers, of which nobody need know a price
     * @param sampleOf requests of the whole draft, where these are a sample, sent one by one; 0: these are all
     */
    public record Estimate(long requests, long answered, long submitted, long repeats, OptionalDouble repeatDollars,
                           int parts, List<ModelEstimate> models, long uncounted, boolean distinct, boolean local,
                           long sampleOf) {
        private static final int SHOWN_MODELS = 5;
        private static final List<String> COLUMNS = List.of("provider", "model", "requests", "tokens in", "most out",
            "price in", "price at most");

        public Estimate { models = List.copyOf(models); }

        /** Returns how many requests are to be sent, and paid. */
        public long toSend() { return models.stream().mapToLong(ModelEstimate::requests).sum(); }

        /** Returns the tokens of the prompts to send, as counted. */
        public long tokens() { return models.stream().mapToLong(ModelEstimate::tokens).sum(); }

        /** Returns the dollars for the prompts to send; empty if no price is known of some model. */
        public OptionalDouble inputDollars() { return sum(ModelEstimate::inputDollars); }

        /** Returns the dollars for all to send and answers as long as they may be; empty if nobody knows. */
        public OptionalDouble mostDollars() { return sum(ModelEstimate::mostDollars); }

        private OptionalDouble sum(Function<ModelEstimate, OptionalDouble> amount) {
            var amounts = models.stream().map(amount).toList();
            return uncounted > 0 || amounts.stream().anyMatch(OptionalDouble::isEmpty) ? OptionalDouble.empty()
                : OptionalDouble.of(amounts.stream().mapToDouble(OptionalDouble::getAsDouble).sum());
        }

        /** Returns it in a line. */
        public String summary() {
            if (toSend() == 0) return kinds();
            return kinds() + way() + "; " + names() + "; about " + count(tokens(), "token") + " of prompts; " + price();
        }

        /** Says how they are sent. */
        private String way() { return sampleOf > 0 ? " now, one by one" : " in " + count(parts, "part"); }

        private String kinds() {
            var kinds = Stream.of(toSend() < requests ? String.format(Locale.ROOT, "%,d to send", toSend()) : "",
                    kind(answered, "%,d answered before"), kind(submitted, "%,d submitted before"),
                    repeats == 0 ? "" : count(repeats, "repeat") + (distinct ? " left out" : ""))
                .filter(text -> !text.isEmpty()).collect(Collectors.joining(", "));
            return (sampleOf > 0 ? "a sample of " + number(requests) + " of " : "")
                + count(Math.max(requests, sampleOf), "request") + (kinds.isEmpty() ? "" : " (" + kinds + ")");
        }

        private static String kind(long number, String text) {
            return number == 0 ? "" : String.format(Locale.ROOT, text, number);
        }

        private String names() {
            if (models.size() == 1) return models.get(0).model;
            var shown = models.stream().limit(SHOWN_MODELS)
                .map(model -> String.format(Locale.ROOT, "%s (%,d)", model.name(hasProviders()), model.requests))
                .collect(Collectors.joining(", "));
            int more = models.size() - SHOWN_MODELS;
            return shown + (more > 0 ? " and " + count(more, "more model") : "");
        }

        /** Says what all costs, or why nobody knows. */
        private String price() {
            if (mostDollars().isPresent()) return "up to " + dollars(mostDollars().getAsDouble());
            if (unpriced().isEmpty() && uncounted > 0) return unread();
            if (unpriced().isEmpty())
                return dollars(inputDollars().getAsDouble()) + " and what the answers cost, which have no limit";
            return local ? NO_PRICE_HERE : "no price is known for " + String.join(", ", unpriced());
        }

        private List<String> unpriced() {
            return models.stream().filter(model -> model.inputDollars.isEmpty())
                .map(model -> model.name(hasProviders())).toList();
        }

        /** Several providers are told apart; one is known. */
        private boolean hasProviders() { return models.stream().map(ModelEstimate::provider).distinct().count() > 1; }

        private String unread() {
            return count(uncounted, "image") + " or other part that is no text "
                + (uncounted == 1 ? "has" : "have") + " tokens that only the provider counts";
        }

        /** Returns what is to be known of the numbers, a line each. */
        private List<String> notes() {
            var notes = new ArrayList<String>();
            models.stream().map(ModelEstimate::encoding).distinct().forEach(encoding -> notes.add("tokens: "
                + encoding + assumedOf(encoding)));
            models.stream().map(ModelEstimate::priceSource).filter(source -> !source.isEmpty()).distinct()
                .forEach(source -> notes.add("price: " + source));
            notes.addAll(Outlook.unpriced(local ? Stream.empty() : unpriced().stream(),
                local && !unpriced().isEmpty()));
            if (models.stream().anyMatch(model -> model.mostOutput.isEmpty()))
                notes.add("most out: the answers have no limit; " + Wording.MAX_TOKENS + " sets one");
            if (uncounted > 0) notes.add("tokens: " + unread());
            if (repeats > 0 && toSend() > 0 && !distinct) notes.add("repeats: " + ofRepeats() + saved());
            return notes;
        }

        private String saved() {
            double saved = repeatDollars.orElse(0);
            return saved == 0 ? "" : ", which saves up to " + dollars(saved);
        }

        private String assumedOf(String encoding) {
            var assumed = models.stream().filter(model -> model.encoding.equals(encoding) && model.assumed)
                .map(ModelEstimate::model).distinct().toList();
            return assumed.isEmpty() ? "" : ", which is assumed of " + String.join(", ", assumed);
        }

        private String total() {
            return kinds() + (toSend() == 0 ? "" : way() + "; " + price());
        }

        /** Prints it to stdout as a table. */
        public void show() { System.out.println(this); }

        /** Returns the table as HTML, for a page or a notebook. */
        public String toHtml() {
            return (models.isEmpty() ? "" : Html.table(shown(COLUMNS), cells())) + Html.lines(below());
        }

        private List<List<String>> cells() { return models.stream().map(model -> shown(model.cells())).toList(); }

        private List<String> shown(List<String> all) { return all.subList(hasProviders() ? 0 : 1, all.size()); }

        private String below() {
            return Stream.concat(Stream.of(total()), notes().stream()).collect(Collectors.joining("\n"));
        }

        @Override public String toString() {
            return (models.isEmpty() ? "" : Tables.draw(shown(COLUMNS), cells()) + "\n") + below();
        }
    }
}
