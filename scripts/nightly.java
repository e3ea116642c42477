///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Run one batch a day from cron: submit it, come back later, never pay twice
//SOURCES ../lib/Sheaf.java
//FILES data/tickets.csv=../data/tickets.csv
//FILES templates/ticket.mustache=../templates/ticket.mustache

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.List;
import java.util.stream.Stream;

class Nightly {
    public static void main(String... args) throws IOException {
        var name = "tickets-" + LocalDate.now();               // the same day again is the same batch
        var tonight = batch()
            .name(name)
            .model("gpt-4.1-mini")
            .prompts(template("ticket"), csv("data/tickets.csv"))
            .maxTokens(200)
            .options(args)
            .checkOutput(name + ".csv")                        // before anything is paid
            .submit();
        for (var batch : kept())                               // what is submitted last writes the day's file
            if (batch.name().equals(name)) Files.deleteIfExists(mark(batch));
        Files.write(mark(tonight), new byte[0]);
        var earlier = kept().stream().filter(batch -> !batch.name().equals(name) && Files.exists(mark(batch)));

        int code = 0;                                          // 75: one goes on, and the next run comes back
        for (var batch : Stream.concat(Stream.of(tonight), earlier).toList())
            code = Math.max(code, collect(batch, List.of(args).contains("--quiet")).number());
        System.exit(code);
    }

    /** A file beside what is kept of a batch, until its answers are written: on a later day, if it goes on so long. */
    static Path mark(Batch batch) { return batch.folder().resolve("nightly-tickets"); }

    static ExitCode collect(Batch batch, boolean isQuiet) throws IOException {
        if (batch.status().equals(Status.WAITING)) batch.submit();      // parts for which there was no room
        if (!batch.status().isTerminal()) return ExitCode.RUNNING;
        if (batch.status().equals(Status.FAILED)) Files.deleteIfExists(mark(batch));     // results() says why, once
        batch.results().toCsv(batch.name() + ".csv");
        if (!isQuiet) System.err.println("wrote " + batch.name() + ".csv");
        Files.deleteIfExists(mark(batch));
        return batch.exitCode();
    }
}
