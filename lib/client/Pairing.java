package sheaf;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import sheaf.Findings.Change;
import sheaf.Findings.Comparison;
import sheaf.Findings.Share;
import sheaf.Findings.Side;

/**
 * The answers of two results to the same rows, beside each other. A row is known by what it holds, or where there are
 * no rows by what was asked; the n-th of several alike goes with the n-th.
 */
final class Pairing {
    private final Exchanges first;
    private final Exchanges second;
    private final boolean tellsTemplates;                 // else these are what is compared
    private final String column;                          // of what is right; null: nobody says
    private final List<Change> changes = new ArrayList<>();
    private final long[] right = new long[2], alone = new long[2];     // by side
    private long pairs, alike;

    private Pairing(Exchanges first, Exchanges second, String column) {
        this.first = first;
        this.second = second;
        this.column = column;
        tellsTemplates = named(first, Exchange::template).equals(named(second, Exchange::template));
    }

    /** @param column of the rows, that says what is right; null if none does */
    static Comparison of(Exchanges first, Exchanges second, String column) {
        return new Pairing(first, second, column).comparison();
    }

    private static Set<String> named(Exchanges exchanges, Function<Exchange, String> name) {
        return exchanges.stream().map(name).collect(Collectors.toSet());
    }

    private Comparison comparison() {
        var places = new HashMap<String, Queue<Long>>();       // of the second, by what was asked
        second.stream().forEach(exchange -> places.computeIfAbsent(key(exchange), any -> new ArrayDeque<>())
            .add(exchange.index()));
        first.stream().forEach(exchange -> {
            var alike = places.get(key(exchange));
            if (alike != null && !alike.isEmpty()) add(exchange, second.at(alike.remove()));
        });
        var names = names();
        if (pairs == 0) throw new IllegalStateException("compare: " + names.get(0) + " and " + names.get(1)
            + " have no row in common; both are to be of the same data");
        return new Comparison(side(0, names.get(0), first), side(1, names.get(1), second), new Share(alike, pairs),
            List.copyOf(changes), first.size() + second.size() - 2 * pairs);
    }

    private String key(Exchange exchange) {
        return Json.Digest.hex(Json.text(exchange.hasRow()
            ? List.of(tellsTemplates ? exchange.template() : "", new TreeMap<>(exchange.row())) : exchange.said()));
    }

    private void add(Exchange one, Exchange other) {
        pairs++;
        boolean isAlike = one.ok() && one.verdict().equals(other.verdict());
        if (isAlike) alike++;
        else changes.add(new Change(one.customId(), one.answer(), other.answer(), column == null ? ""
            : one.row(column)));
        if (column == null) return;
        boolean isFirstRight = one.says(one.row(column)), isSecondRight = other.says(one.row(column));
        count(0, isFirstRight, isSecondRight);
        count(1, isSecondRight, isFirstRight);
    }

    private void count(int side, boolean isRight, boolean isOtherRight) {
        if (isRight) right[side]++;
        if (isRight && !isOtherRight) alone[side]++;
    }

    private Side side(int side, String name, Exchanges exchanges) {
        return new Side(name, column == null ? Optional.empty() : Optional.of(new Share(right[side], pairs)),
            alone[side], Spending.of(exchanges.stream()));
    }

    /** Returns what tells them apart: the models, the templates or the batches. */
    private List<String> names() {
        for (var kind : List.<Function<Exchange, String>>of(Exchange::model, Exchange::template)) {
            var one = named(first, kind);
            var other = named(second, kind);
            if (one.size() == 1 && other.size() == 1 && !one.equals(other))
                return List.of(one.iterator().next(), other.iterator().next());
        }
        return first.name().equals(second.name()) ? List.of("the first", "the second")
            : List.of(first.name(), second.name());
    }
}
