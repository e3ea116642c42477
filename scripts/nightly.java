///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Run one batch a day from cron: submit it, come back later, never pay twice
//SOURCES ../lib/Sheaf.java
//FILES data/tickets.csv=../data/tickets.csv
//FILES templates/ticket.mustache=../templates/ticket.mustache

import static sheaf.Sheaf.*;

import java.time.LocalDate;

class Nightly {
    public static void main(String... args) {
        var name = "tickets-" + LocalDate.now();               // the same day again is the same batch
        var batch = batch()
            .name(name)
            .model("gpt-4.1-mini")
            .prompts(template("ticket"), csv("data/tickets.csv"))
            .maxTokens(200)
            .options(args)
            .checkOutput(name + ".csv")                        // before anything is paid
            .submit();

        if (batch.status().isTerminal()) batch.results().toCsv(name + ".csv");
        System.exit(batch.exitCode().number());                // 75: it goes on, and the next run comes back
    }
}
