///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Read film plots into records of your own, and have asked again what does not fit
//SOURCES ../lib/Sheaf.java
//FILES data/films.csv=../data/films.csv

import static sheaf.Sheaf.*;

import com.fasterxml.jackson.annotation.JsonPropertyDescription;
import java.util.List;
import java.util.Optional;
import java.util.Set;

class Film {
    enum Genre { COMEDY, CRIME, DRAMA, SCIENCE_FICTION }

    record Hero(String name, Optional<String> trade) {}

    record Plot(Genre genre, @JsonPropertyDescription("cities, islands, planets") List<String> places, Hero hero,
                @JsonPropertyDescription("whether it ends well, where one can tell") Optional<Boolean> happyEnd) {}

    public static void main(String... args) {
        var results = batch()
            .model("gpt-4.1-mini")
            .prompts("What is this film like?\n\n{{title}}: {{plot}}", csv("data/films.csv"))
            .returning(Plot.class)
            .validate("a place is named twice", result -> {
                var places = result.as(Plot.class).places();
                return Set.copyOf(places).size() == places.size();
            })
            .repair(2)                                         // with the answer and what was wrong with it
            .maxTokens(500)
            .options(args)
            .submit()
            .await()
            .results();

        for (var result : results.succeeded()) {
            var plot = result.as(Plot.class);
            System.out.println(result.row().getOrDefault("title", result.customId()) + ": " + plot.genre() + ", "
                + plot.hero().name() + " in " + String.join(", ", plot.places()));
        }
        results.failed().forEach(result -> System.err.println(result.customId() + ": " + result.error()));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
