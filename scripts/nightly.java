///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Run one batch a day from cron: submit it, come back later, never pay twice
//SOURCES ../lib/Sheaf.java
//FILES data/tickets.csv=../data/tickets.csv
//FILES templates/ticket.mustache=../templates/ticket.mustache

import static sheaf.Sheaf.*;

import java.time.LocalDate;

class Nightly {
    public static void main(String... args) {
        var batch = batch()
            .name("tickets-" + LocalDate.now())                // the same day again is the same batch
            .model("gpt-4.1-mini")
            .prompts(template("ticket"), csv("data/tickets.csv"))
            .maxTokens(200)
            .options(args)
            .submit();

        if (batch.status().isTerminal()) batch.results().toCsv(batch.name() + ".csv");
        System.exit(batch.exitCode().number());                // 75: it goes on, and the next run comes back
    }
}
