///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Let a model judge the answers of two others, in both orders and several times, against its bias
//SOURCES ../lib/Sheaf.java
//FILES data/articles.json=../data/articles.json
//FILES templates/summary.mustache=../templates/summary.mustache
//FILES templates/judge.mustache=../templates/judge.mustache

import static sheaf.Sheaf.*;

import java.util.ArrayList;

class Judge {
    static final int TRIALS = 3;                               // of each order: the same request, and each is paid

    record Pair(String title, int trial, String text, String first, String firstBy, String second, String secondBy) {
        Pair(Result article, int trial, Result first, Result second) {
            this(column(article, "title", article.customId()), trial, column(article, "text", article.row().toString()),
                first.text(), first.model(), second.text(), second.model());
        }
    }

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
                pairs.add(new Pair(two.get(0), trial, two.get(0), two.get(1)));
                pairs.add(new Pair(two.get(0), trial, two.get(1), two.get(0)));
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
        System.err.println("wrote verdicts.csv");
        System.out.println("A fair judge says first as often as second:\n" + verdicts.succeeded().by(Result::choice));
        verdicts.by(verdict -> verdict.row("title")).forEach((title, trials) ->
            System.out.println(title + ": " + winner(trials.succeeded())));
        System.exit(verdicts.exitCode().number());             // 3: a row has no answer
    }

    /** Rows of your own need have neither title nor text. */
    static String column(Result article, String name, String none) {
        return article.row().containsKey(name) ? article.row(name) : none;
    }

    /** Whoever most of all trials name, so that a judge who follows the place decides nothing. */
    static String winner(Results trials) {
        return trials.by(trial -> trial.choice().equals("tie") ? "tie" : trial.row(trial.choice() + "By")).entrySet()
            .stream().filter(votes -> votes.getValue().size() > TRIALS).findFirst().map(votes -> votes.getKey())
            .orElse("undecided");
    }
}
