package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.Proxy;
import java.net.URI;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.support.ForwardProxy;
import sheaf.support.TlsServer;

/** The proxies that the environment names, on the wire and by the rules of NO_PROXY. */
class ProxiesTest {
    static final List<String> VARIABLES = Stream.of("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
        .flatMap(name -> Stream.of(name, name.toLowerCase())).toList();
    @AutoClose final BatchServer server = BatchServer.options().apiKey("secret-key").start();
    @TempDir Path home;

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("SHEAF_API_KEY", "secret-key");
    }

    @AfterEach void forget() {
        System.clearProperty("SHEAF_HOME");
        System.setProperty("SHEAF_API_KEY", "");
        Stream.concat(VARIABLES.stream(), Stream.of("SSL_CERT_FILE")).forEach(name -> System.setProperty(name, ""));
    }

    @Test void aBatchRunsThroughAProxyThatPassesRequestsOn() throws IOException {
        try (var proxy = new ForwardProxy(Map.of("provider.test", port()), "")) {
            System.setProperty("http_proxy", proxy.address());

            var batch = submitted("http://provider.test/v1");

            assertEquals(List.of("one", "two"), texts(batch));
            assertTrue(proxy.asked().stream().anyMatch(head -> head.startsWith("POST http://provider.test/v1/files ")));
            assertTrue(proxy.asked().stream().noneMatch(head -> head.contains("Proxy-Authorization")));
        }
    }

    @Test void theProxyIsToldWhoAsksBeforeItRefusesAnUpload() throws IOException {
        try (var proxy = new ForwardProxy(Map.of("provider.test", port()), "Basic bWU6cEBzczp3b3Jk")) {
            System.setProperty("HTTP_PROXY", "http://me:p%40ss:word@" + proxy.address() + "/");

            assertEquals(List.of("one", "two"), texts(submitted("http://provider.test/v1")));
        }
    }

    @Test void aTunnelIsAskedForByTlsAndItAloneIsToldWhoAsks() throws IOException {
        try (var tls = new TlsServer(home, port(), "-dname", "CN=provider.test", "-ext", "san=dns:provider.test");
             var proxy = new ForwardProxy(Map.of("provider.test", tls.port()), "Basic bWU6c2VjcmV0")) {
            System.setProperty("HTTPS_PROXY", "http://me:secret@" + proxy.address());
            System.setProperty("HTTP_PROXY", "http://127.0.0.1:9");
            System.setProperty("SSL_CERT_FILE", tls.certificate().toString());
            var provider = Provider.of("https://provider.test/v1").header("X-Team", "kitchen");

            assertEquals(List.of("one", "two"), texts(submitted(provider)));
            assertEquals(Set.of("CONNECT provider.test:443 HTTP/1.1"),
                Set.copyOf(proxy.asked().stream().map(head -> head.replaceFirst("(?s)\r\n.*", "")).toList()));
            assertTrue(proxy.asked().stream().noneMatch(head -> head.contains("X-Team")
                || head.contains("\r\nAuthorization")), "the proxy was told more than it needs");
        }
    }

    @Test void aPasswordMayHaveAPercentThatEncodesNothing() throws IOException {
        var who = "Basic " + Base64.getEncoder().encodeToString("me:50%off+1".getBytes());
        try (var proxy = new ForwardProxy(Map.of("provider.test", port()), who)) {
            System.setProperty("HTTP_PROXY", "http://me:50%off+1@" + proxy.address());

            assertEquals(List.of("one", "two"), texts(submitted("http://provider.test/v1")));
        }
    }

    @Test void whoIsRefusedByTheProxyIsToldWhichOne() throws IOException {
        try (var proxy = new ForwardProxy(Map.of("provider.test", port()), "Basic bWU6c2VjcmV0")) {
            System.setProperty("HTTP_PROXY", "http://me:wrong@" + proxy.address());
            System.setProperty("HTTPS_PROXY", "http://me:wrong@" + proxy.address());

            assertSays("models: GET http://provider.test/v1/models: 407; check the user and the password in HTTP_PROXY",
                () -> Provider.of("http://provider.test/v1").models());
            assertSays("models: cannot reach https://provider.test/v1 by the proxy " + proxy.address()
                + " of HTTPS_PROXY (Failed to authenticate with proxy); check the proxy, or name the host in NO_PROXY, "
                + "and run again", () -> Provider.of("https://provider.test/v1").models());
        }
    }

    @Test void aProxyThatIsDownIsNamedAndItsPasswordIsNot() {
        System.setProperty("https_proxy", "http://me:secret@127.0.0.1:9");

        assertSays("models: cannot reach https://provider.test/v1 by the proxy 127.0.0.1:9 of HTTPS_PROXY (connection "
            + "refused); check the proxy, or name the host in NO_PROXY, and run again",
            () -> Provider.of("https://provider.test/v1").models());
    }

    @Test void toThisMachineThereIsNoProxy() {
        System.setProperty("HTTP_PROXY", "http://127.0.0.1:9");

        assertEquals(List.of("one", "two"), texts(submitted(server.baseUrl())));
        assertEquals(List.of("one", "two"), texts(submitted(server.baseUrl().replace("127.0.0.1", "localhost"))));
    }

    @ParameterizedTest
    @ValueSource(strings = {"https://proxy:3128", "socks5://proxy:1080", "proxy:port", "http://", ":3128",
        "proxy:65536", "proxy:0"})
    void whatIsNoProxyIsRefusedAndNotShown(String value) {
        System.setProperty("HTTPS_PROXY", value);

        assertSays("provider: HTTPS_PROXY is no proxy that can be used; write it as http://host:port or "
            + "http://user:password@host:port", () -> Provider.of("https://provider.test/v1").models());
    }

    @ParameterizedTest
    @CsvSource({"proxy:3128, proxy:3128", "http://proxy, proxy:80", "http://a:b@c@proxy:1/, proxy:1",
        "http://[::1]:3128, [::1]:3128", "me@proxy:81, proxy:81"})
    void aProxyIsWrittenInManyWays(String value, String address) {
        System.setProperty("HTTPS_PROXY", value);

        assertEquals(address + " of HTTPS_PROXY",
            Proxies.of(URI.create("https://provider.test/v1")).orElseThrow().address());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "* | https://api.test/v1 | direct",
        "api.test | https://api.test/v1 | direct",
        "API.Test | https://api.test/v1 | direct",
        "test | https://api.test/v1 | direct",
        ".test | https://api.test/v1 | direct",
        "*.test | https://api.test/v1 | direct",
        "pi.test | https://api.test/v1 | proxy",
        "api.test.org | https://api.test/v1 | proxy",
        "other, api.test | https://api.test/v1 | direct",
        "other api.test | https://api.test/v1 | direct",
        "api.test:443 | https://api.test/v1 | direct",
        "api.test:8443 | https://api.test/v1 | proxy",
        "api.test:8443 | https://api.test:8443/v1 | direct",
        "10.0.0.0/8 | https://10.1.2.3/v1 | direct",
        "0.0.0.0/0 | https://200.1.2.3/v1 | direct",
        "10.0.0.0/8 | https://11.1.2.3/v1 | proxy",
        "10.0.0.0/8 | https://api.test/v1 | proxy",
        "10.1.2.3 | https://10.1.2.3/v1 | direct",
        "fd00::/8 | https://[fd00::1]/v1 | direct",
        "nonsense/x | https://10.1.2.3/v1 | proxy",
        "'' | https://api.test/v1 | proxy",
        "'' | https://localhost/v1 | direct",
        "'' | https://127.0.0.2:1/v1 | direct",
        "'' | https://[::1]/v1 | direct",
        "'' | http://api.test/v1 | direct"})
    void noProxyNamesHostsDomainsPortsAndNetworks(String none, String url, String way) {
        System.setProperty("HTTPS_PROXY", "proxy:3128");
        System.setProperty("NO_PROXY", none);

        var taken = new Proxies().select(URI.create(url));

        assertEquals(way, taken.equals(List.of(Proxy.NO_PROXY)) ? "direct" : "proxy");
    }

    @Test void theNamesInSmallLettersGoFirst() {
        System.setProperty("HTTPS_PROXY", "large:1");
        System.setProperty("https_proxy", "small:1");

        assertEquals("small", Proxies.of(URI.create("https://api.test/v1")).orElseThrow().host());
        System.setProperty("https_proxy", "");
        assertEquals("large", Proxies.of(URI.create("https://api.test/v1")).orElseThrow().host());
    }

    @Test void javasOwnSettingsCountWhereTheEnvironmentSaysNothing() {
        System.setProperty("https.proxyHost", "javas.test");
        try {
            assertEquals("javas.test:443",
                new Proxies().select(URI.create("https://api.test/v1")).get(0).address().toString()
                    .replaceFirst("/<unresolved>", ""));
            System.setProperty("NO_PROXY", "api.test");
            assertEquals(List.of(Proxy.NO_PROXY), new Proxies().select(URI.create("https://api.test/v1")));
        } finally {
            System.clearProperty("https.proxyHost");
        }
    }

    private int port() { return URI.create(server.baseUrl()).getPort(); }

    private static Batch submitted(String url) { return submitted(Provider.of(url)); }

    private static Batch submitted(Provider provider) {
        return Sheaf.batch().provider(provider).model("echo").prompts("one", "two").quiet().submit();
    }

    /** What is not on this machine is asked every 30 seconds only. */
    private List<String> texts(Batch batch) {
        Provider.of(server.baseUrl()).batch(batch.id()).await();
        return batch.results().stream().map(Result::text).toList();
    }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
