///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Let a model judge the answers of two others, in both orders and several times, against its bias
//SOURCES ../lib/Sheaf.java
//FILES data/articles.json=../data/articles.json
//FILES templates/summary.mustache=../templates/summary.mustache
//FILES templates/judge.mustache=../templates/judge.mustache

import static sheaf.Sheaf.*;

import java.util.ArrayList;
import java.util.Map;
import java.util.TreeMap;

class Judge {
    static final int TRIALS = 3;                               // each is paid

    record Pair(String title, String text, String order, String first, String firstBy, String second,
                String secondBy) {}

    public static void main(String... args) {
        var writers = batch()
            .model("gpt-4.1-nano", "gpt-4.1-mini")
            .prompts(template("summary"), json("data/articles.json"))
            .maxTokens(200)
            .options(args)                                     // the writers'
            .submit()
            .await();

        var pairs = new ArrayList<Pair>();
        writers.results().succeeded().by(Result::row).forEach((article, written) -> {
            var two = written.stream().toList();
            if (two.size() != 2) return;                       // one has no answer
            for (int trial = 1; trial <= TRIALS; trial++) {
                pairs.add(pair(two.get(0), two.get(1), "as written"));
                pairs.add(pair(two.get(1), two.get(0), "swapped"));
            }
        });

        var verdicts = batch()
            .provider(writers.provider())
            .model(System.getenv().getOrDefault("JUDGE", "gpt-4.1"))
            .prompts(template("judge"), rows(pairs))
            .choice("first", "second", "tie")
            .checkOutput("verdicts.csv")
            .maxTokens(50)
            .submit()
            .await()
            .results();

        verdicts.toCsv("verdicts.csv");
        System.out.println("A fair judge says first as often as second:\n" + verdicts.succeeded().by(Result::choice));
        var winners = new TreeMap<String, Integer>();
        var articles = verdicts.by(verdict -> verdict.row("title")).values();
        articles.forEach(trials -> winners.merge(winner(trials.succeeded()), 1, Integer::sum));
        winners.forEach((winner, won) -> System.out.println(winner + ": " + won + " of " + articles.size()));
    }

    static Pair pair(Result first, Result second, String order) {
        return new Pair(first.row("title"), first.row("text"), order, first.text(), first.model(), second.text(),
            second.model());
    }

    /** Whoever is better in both orders; else the judge follows the place, or chance. */
    static String winner(Results verdicts) {
        var orders = verdicts.by(verdict -> verdict.row("order")).values();
        var leaders = orders.stream().map(Judge::leader).distinct().toList();
        return orders.size() == 2 && leaders.size() == 1 ? leaders.get(0) : "undecided";
    }

    /** Whoever most trials name. */
    static String leader(Results trials) {
        return trials.by(trial -> trial.choice().equals("tie") ? "tie" : trial.row(trial.choice() + "By")).entrySet()
            .stream().filter(votes -> 2 * votes.getValue().size() > TRIALS).map(Map.Entry::getKey).findFirst()
            .orElse("undecided");
    }
}
