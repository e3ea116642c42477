package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.lines;

import java.net.Proxy;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.FakeEngine;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.ForwardProxy;
import sheaf.support.RawClient;
import sheaf.support.ServerProcess;
import sheaf.support.TlsServer;

/** The way to an engine through a company's proxy, and by certificates of a company's own. */
class NetworkTest {
    private static final List<String> VARIABLES = Stream.of("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
        .flatMap(name -> Stream.of(name, name.toLowerCase())).toList();
    @AutoClose final FakeEngine engine = FakeEngine.start(Kind.VLLM, 10, 10, 1);
    BatchServer server;
    @TempDir Path dir;

    @AfterEach void close() {
        if (server != null) server.close();
        VARIABLES.forEach(name -> System.setProperty(name, ""));
        System.setProperty("SSL_CERT_FILE", "");
    }

    @Test void anEngineIsReachedThroughAProxyThatIsToldWhoAsks() throws Exception {
        try (var proxy = new ForwardProxy(Map.of("engine.test", port()), "Basic bWU6cEBzczp3b3Jk")) {
            System.setProperty("HTTP_PROXY", "http://me:p%40ss:word@" + proxy.address() + "/");

            assertEquals("re: one", answer("http://engine.test/v1"));
            assertTrue(proxy.asked().stream().anyMatch(head -> head.startsWith("POST http://engine.test/v1/chat/")));
        }
    }

    @Test void aTunnelIsAskedForByTlsAndTheCertificateOfTheFileIsTrusted() throws Exception {
        try (var tls = new TlsServer(dir, port(), "-dname", "CN=engine.test", "-ext", "san=dns:engine.test");
             var proxy = new ForwardProxy(Map.of("engine.test", tls.port()), "Basic bWU6c2VjcmV0")) {
            // of its own, for Java reads but once which passwords it may send
            var process = ServerProcess.start(dir.resolve("store"), "https://engine.test/v1", "-Dhttps_proxy=http://me:"
                + "secret@" + proxy.address(), "-DSSL_CERT_FILE=" + tls.certificate());

            assertEquals("re: one", answerAt(process.url()));
            process.kill();
            assertEquals(Set.of("CONNECT engine.test:443 HTTP/1.1"), proxy.asked().stream()
                .map(head -> head.replaceFirst("(?s)\r\n.*", "")).collect(Collectors.toSet()));
            assertTrue(proxy.asked().stream().noneMatch(head -> head.contains("\r\nAuthorization")));
        }
    }

    @Test void anEngineOfThisMachineIsReachedDirectly() {
        System.setProperty("HTTP_PROXY", "http://127.0.0.1:9");

        assertEquals("re: one", answer(engine.url()));
    }

    @Test void aProxyThatDoesNotAnswerIsNamed() throws Exception {
        System.setProperty("HTTP_PROXY", "me:secret@127.0.0.1:9");
        var settings = Settings.DEFAULTS.engine("http://engine.test/v1").timeout(Duration.ofSeconds(2));

        var service = Service.start(settings);
        try {
            var said = service.engine.state(true);
            for (int times = 1; times < 9 && said.contains("(nothing within 3s)"); times++)      // a busy machine
                said = service.engine.state(true);
            assertEquals("http://engine.test/v1 by the proxy 127.0.0.1:9 of HTTP_PROXY does not answer (connection "
                + "refused); its requests wait for it", said);
        } finally {
            service.close();
        }
    }

    @ParameterizedTest(name = "{0} past {1}: {2}")
    @CsvSource(delimiter = '|', value = {
        "http://10.1.2.3/v1 | 10.0.0.0/8 | true",
        "http://11.1.2.3/v1 | 10.0.0.0/8 | false",
        "http://api.corp.test/v1 | .corp.test | true",
        "http://corp.test/v1 | corp.test:80 | true",
        "http://corp.test:8000/v1 | corp.test:80 | false",
        "http://mycorp.test/v1 | corp.test | false",
        "http://corp.test/v1 | * | true",
        "http://[::1]:8000/v1 | none | true"})
    void noProxyNamesWhomItIsPast(String url, String noProxy, boolean isDirect) {
        System.setProperty("HTTP_PROXY", "proxy.test:3128");
        System.setProperty("NO_PROXY", noProxy);

        var proxies = Network.client(Duration.ofSeconds(1)).build().proxy().orElseThrow().select(URI.create(url));

        assertEquals(isDirect, proxies.equals(List.of(Proxy.NO_PROXY)), proxies.toString());
    }

    @Test void whatIsNoProxyAndNoCertificateIsASentenceBeforeAnythingIsSent() {
        System.setProperty("HTTP_PROXY", "socks5://proxy:1080");
        assertEquals("engine: HTTP_PROXY is no proxy that can be used; write it as http://host:port or "
            + "http://user:password@host:port", refusal());
        System.setProperty("HTTP_PROXY", "");

        System.setProperty("SSL_CERT_FILE", dir.resolve("none.pem").toString());
        assertTrue(refusal().matches("engine: SSL_CERT_FILE cannot be read: .*none.pem \\(.*\\); name a PEM file, or "
            + "unset it"), refusal());
    }

    private static String refusal() {
        return assertThrows(IllegalArgumentException.class, () -> BatchServer.start("http://engine.test/v1"))
            .getMessage();
    }

    private int port() { return URI.create(engine.url()).getPort(); }

    private String answer(String url) {
        server = BatchServer.options().timeout(Duration.ofMinutes(1)).engine(url).start();
        return answerAt(server.baseUrl());
    }

    private static String answerAt(String baseUrl) {
        var client = new RawClient(() -> baseUrl);
        var batch = client.finished(client.upload(lines("one").replace("\"m\"", "\"" + FakeEngine.MODEL + "\"")));
        assertEquals(1, batch.at("/request_counts/completed").asInt(), batch.toString());
        return client.texts(batch).get("request-1");
    }
}
