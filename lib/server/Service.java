package sheaf.server;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.eclipse.jetty.util.thread.ScheduledExecutorScheduler;

/** What runs while a server is open: who is given whom, and in which order they begin and end. It serves nothing. */
final class Service {
    private static final int MAX_THREADS = 128;
    private static final Duration EXIT = Duration.ofSeconds(8);   // for answers under way; Docker kills after 10
    private static final Duration IDLE = Duration.ofMinutes(1);   // before a silent connection is closed

    /** How far apart Jetty's queues keep their ends, for which it would load all of Java's management. */
    private static final String REFERENCES_APART = "org.eclipse.jetty.util.referencesPerCacheLine";

    private interface Step {
        void take() throws Exception;
    }

    final Store store;
    final Engine engine;
    final Script script = new Script();
    final Runner runner;
    final Router router;
    private final Settings settings;
    private final Webhooks webhooks;   // null if nobody is told
    private final Server jetty;
    private final Thread atExit = new Thread(this::stopAtExit, "sheaf-server-exit");

    private Service(Settings settings, Store store) {
        this.settings = settings;
        this.store = store;
        var answering = settings.answering();
        var identity = new Identity(store, answering);
        boolean echoes = answering.engine().equals(Settings.ECHO);
        if (echoes) script.models = List.copyOf(answering.models().keySet());
        var engines = answering.each();
        var metrics = new Metrics(engines.size() == 1 ? List.of()
            : engines.stream().map(Settings.Answering::engine).toList());
        this.engine = echoes ? new Echo(script) : asked(engines, identity, metrics);
        this.runner = new Runner(settings, store, engine, script, metrics);
        var limits = settings.limits();
        var files = new FileEndpoints(store, limits, script, metrics);
        this.router = new Router(settings, script, identity, metrics, new Router.Endpoints(files,
            new BatchEndpoints(runner, files, limits.dialect(), script), new EngineEndpoints(engine, identity),
            new PageEndpoints(runner, engine, store, limits.dialect(), script),
            new Monitoring(store, engine, runner, metrics)));
        this.webhooks = settings.webhook() == null ? null : new Webhooks(settings.webhook(), store);
        this.jetty = jetty(settings.listening(), router);
    }

    private static Engine asked(List<Settings.Answering> engines, Identity identity, Metrics metrics) {
        var all = new ArrayList<Upstream>();
        for (var who : identity.each()) all.add(new Upstream(engines.get(all.size()), engines.size() > 1, who, metrics));
        return all.size() == 1 ? all.get(0) : new LoadBalancer(all);
    }

    /** Starts a server, and returns once it listens. */
    static Service start(Settings settings) {
        if (settings.listening().isOpenToOthers())
            throw new IllegalStateException("start: others can reach " + settings.listening().host()
                + "; set an API key too (--api-key, SHEAF_SERVER_KEY)");
        if (settings.store() == null) return start(settings, Store.temporary());
        return startIfFree(settings).orElseThrow(() -> new IllegalStateException("start: " + settings.store()
            + " is in use by another server at " + HeldFolder.awaitUrl(settings.store())
            + "; use that one, or give another store (--store DIR)"));
    }

    /** Starts a server, unless another one holds its store. */
    static Optional<Service> startIfFree(Settings settings) {
        return Store.open(settings.store()).map(store -> start(settings, store));
    }

    private static Service start(Settings settings, Store store) {
        try {
            var service = new Service(settings, store);
            service.begin();
            return service;
        } catch (RuntimeException e) {
            store.close();
            throw e;
        }
    }

    /** Takes the port, takes up the batches of the store, and only then serves requests, or counts could go back. */
    private void begin() {
        begin(connector()::open);
        if (webhooks != null) webhooks.start();
        begin(runner::continueUnfinished);
        begin(jetty::start);
        Runtime.getRuntime().addShutdownHook(atExit);
        store.announce(baseUrl());
    }

    String baseUrl() {
        return "http://" + settings.listening().reachable() + ":" + connector().getLocalPort()
            + settings.limits().dialect().prefix();
    }

    /** Takes a step, and stops the server if that fails. */
    private void begin(Step step) {
        try {
            step.take();
        } catch (Exception e) {   // the signature of Jetty's LifeCycle
            stop(Runner.CLOSING);
            throw unusable(e);
        }
    }

    private UncheckedIOException unusable(Exception e) {
        boolean taken = e.getCause() instanceof BindException && e.getCause().getMessage().contains("in use");
        var remedy = taken ? " is taken; choose another port, or port 0 (--port 0) for a free one"
            : " cannot be used (" + e.getMessage() + "); choose another";
        var address = settings.listening().bracketed() + ":" + settings.listening().port();
        return new UncheckedIOException("start: " + address + remedy, new IOException(e));
    }

    private ServerConnector connector() { return (ServerConnector) jetty.getConnectors()[0]; }

    void close() {
        if (claimClose()) stop(Runner.CLOSING);
    }

    /** Returns whether the caller is the one to close the server, which is closed once. */
    private boolean claimClose() {
        try {
            return Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (IllegalStateException exiting) {   // the hook closes it
            return false;
        }
    }

    /** Stops as the process ends: answers under way would else be asked for, and paid for, once more. */
    private void stopAtExit() { stop(settings.store() == null ? Runner.CLOSING : EXIT); }

    private synchronized void stop(Duration patience) {
        try {
            jetty.stop();
        } catch (Exception e) {   // the signature of Jetty's LifeCycle
            throw new IllegalStateException("close: the HTTP server does not stop", e);
        } finally {
            runner.close(patience);
            if (webhooks != null) webhooks.close();
            store.close();
        }
    }

    /** Closes a silent connection, of those that begin from now on, after so long. */
    void idle(Duration most) {
        for (var connector : jetty.getConnectors()) ((ServerConnector) connector).setIdleTimeout(most.toMillis());
    }

    private static Server jetty(Settings.Listening listening, Router router) {
        System.getProperties().putIfAbsent(REFERENCES_APART, "16");     // as it finds by itself
        var threads = new QueuedThreadPool(MAX_THREADS);
        threads.setName("sheaf-http");
        threads.setDaemon(true);
        var server = new Server(threads, new ScheduledExecutorScheduler("sheaf-http-timer", true), null);
        server.setStopTimeout(0);
        server.setHandler(router);
        server.setErrorHandler(router::unhandled);
        server.addConnector(connector(server, listening));
        return server;
    }

    private static ServerConnector connector(Server server, Settings.Listening listening) {
        var http = new HttpConfiguration();
        http.setSendServerVersion(false);
        http.setUriCompliance(UriCompliance.DEFAULT.with("slashes in model names",
            UriCompliance.Violation.AMBIGUOUS_PATH_SEPARATOR));
        var connection = new HttpConnectionFactory(http);
        connection.setInputBufferSize(Form.WINDOW);     // with Jetty's own 8 KB an upload takes many times the reads
        var connector = new ServerConnector(server, 1, 1, connection);
        connector.setHost(listening.host());
        connector.setPort(listening.port());
        connector.setIdleTimeout(IDLE.toMillis());
        return connector;
    }
}
