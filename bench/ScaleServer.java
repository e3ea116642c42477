package sheaf.bench;

import java.nio.file.Path;
import java.time.Duration;
import sheaf.server.BatchServer;

/**
 * The echo server in a process of its own, on which time flies: a second here is an hour and more there, its queue has
 * an end, and once it stands still until the windows of the batches under way are over. It ends with its input.
 */
final class ScaleServer {
    private static final Duration TICK = Duration.ofMillis(20);
    private static final Duration TICK_THERE = Duration.ofMinutes(2);
    private static final Duration STILL = Duration.ofHours(25);
    private static final int CREATES = 3;                      // after which it stands still, once

    private ScaleServer() {}

    /** @param args its store, the requests that a batch may have, and the tokens that have room in its queue */
    public static void main(String... args) throws Exception {
        System.setProperty("sun.net.httpserver.nodelay", "true");
        var server = BatchServer.options().store(Path.of(args[0])).maxRequests(Integer.parseInt(args[1])).start()
            .refuseOver(Long.parseLong(args[2]));
        var clock = new Thread(() -> fly(server), "sheaf-clock");
        clock.setDaemon(true);
        clock.start();
        System.out.println(server.baseUrl());
        System.in.transferTo(System.out);
        server.close();
        System.exit(0);
    }

    private static void fly(BatchServer server) {
        boolean hasStood = false;
        while (true) {
            sleep();
            server.advance(TICK_THERE);
            if (hasStood || creates(server) < CREATES) continue;
            hasStood = true;
            server.pause().advance(STILL).resume();
        }
    }

    private static long creates(BatchServer server) {
        return server.requests().stream().filter(request -> request.equals("POST /v1/batches")).count();
    }

    private static void sleep() {
        try {
            Thread.sleep(TICK.toMillis());
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        }
    }
}
