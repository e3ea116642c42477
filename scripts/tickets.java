///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Sort tickets into records of your own
//SOURCES ../lib/Sheaf.java
//FILES data/tickets.csv=../data/tickets.csv
//FILES templates/ticket.mustache=../templates/ticket.mustache

import static sheaf.Sheaf.*;

class Tickets {
    enum Kind { BILLING, BUG, OTHER }

    record Ticket(Kind kind, boolean urgent) {}

    public static void main(String... args) {
        var results = batch()
            .model("gpt-4.1-mini")
            .prompts(template("ticket"), csv("data/tickets.csv"))
            .customId("{{id}}")
            .returning(Ticket.class)
            .temperature(0)
            .maxTokens(200)
            .options(args)
            .submit()
            .await()
            .results();

        for (var result : results.succeeded())
            System.out.println(result.customId() + " " + result.as(Ticket.class));
        results.failed().forEach(result -> System.err.println(result.customId() + ": " + result.error()));
        System.exit(results.exitCode().number());              // 3: a row has no answer
    }
}
