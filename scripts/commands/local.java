///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve a small model on this machine, where --provider local finds it
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java

import java.io.UncheckedIOException;
import java.util.List;
import java.util.stream.Stream;
import sheaf.server.BatchServer;
import sheaf.model.LocalModel;

/** Takes the options of serve too: --port, --store, ... */
class local {
    public static void main(String... args) {
        if (List.of(args).contains("--help")) BatchServer.main("--help");
        try {
            var model = LocalModel.start();
            System.err.println("model: " + model.describe() + "; --provider local asks it, whatever model is named");
            BatchServer.main(Stream.concat(Stream.of("--engine", model.baseUrl()), Stream.of(args))
                .toArray(String[]::new));
        } catch (UncheckedIOException | IllegalStateException none) {
            System.err.println(none.getMessage());
            System.exit(1);
        }
    }
}
