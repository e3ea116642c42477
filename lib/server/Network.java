package sheaf.server;

import java.io.IOException;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * How the server reaches others: through the proxies that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, else Java's own,
 * and to this machine through none; trusting Java's roots and those of SSL_CERT_FILE. It knows nothing of whom it
 * reaches.
 */
final class Network extends ProxySelector {
    private static final String FILE = "SSL_CERT_FILE";
    private static final Pattern ADDRESS =
        Pattern.compile("(?:http://)?(?:(?<user>.*)@)?(?<host>\\[[^\\]]+\\]|[^:/@\\[]+)(?::(?<port>[0-9]{1,5}))?/*");

    /** A proxy that the environment names. */
    private record Named(String variable, String host, int port, String user) {
        private Optional<String> credentials() {
            if (user == null) return Optional.empty();
            var parts = user.split(":", 2);
            var both = decoded(parts[0]) + ":" + (parts.length < 2 ? "" : decoded(parts[1]));
            return Optional.of("Basic "
                + Base64.getEncoder().encodeToString(both.getBytes(StandardCharsets.UTF_8)));
        }

        private static String decoded(String text) {
            try {
                return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
            } catch (IllegalArgumentException aBarePercent) {
                return text;
            }
        }
    }

    private Network() { }

    /** Returns a client for others' servers, of which small ones stumble over an upgrade to HTTP/2. */
    static HttpClient.Builder client(Duration patience) {
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(patience)
            .proxy(new Network());
        Settings.variable(FILE).ifPresent(file -> client.sslContext(trusting(file)));
        // with its own, Java sends no password for a tunnel in plain text, though the proxy asks for that
        if (System.getProperty("jdk.http.auth.tunneling.disabledSchemes") == null)
            System.setProperty("jdk.http.auth.tunneling.disabledSchemes", "");
        return client;
    }

    /** Returns a request that tells the proxy on its way, and nobody else, who asks. */
    static HttpRequest.Builder request(URI uri) {
        var request = HttpRequest.newBuilder(uri);
        named(uri).flatMap(Named::credentials).ifPresent(who -> request.header("Proxy-Authorization", who));
        return request;
    }

    /** Returns through what a URL is reached, as the end of a sentence that begins with it; "" if directly. */
    static String through(URI uri) {
        return named(uri).map(proxy -> " by the proxy " + proxy.host + ":" + proxy.port + " of " + proxy.variable)
            .orElse("");
    }

    @Override public List<Proxy> select(URI uri) {
        var named = named(uri).map(proxy -> InetSocketAddress.createUnresolved(plain(proxy.host), proxy.port));
        if (named.isPresent()) return List.of(new Proxy(Proxy.Type.HTTP, named.get()));
        var javas = ProxySelector.getDefault();
        return isDirect(uri) || javas == null ? List.of(Proxy.NO_PROXY) : javas.select(uri);
    }

    @Override public void connectFailed(URI uri, SocketAddress address, IOException e) { }

    private static Optional<Named> named(URI uri) {
        var variable = uri.getScheme().equals("https") ? "HTTPS_PROXY" : "HTTP_PROXY";
        return isDirect(uri) ? Optional.empty() : variable(variable).map(value -> named(variable, value));
    }

    /** It may hold a password, so it is not shown. */
    private static Named named(String variable, String value) {
        var address = ADDRESS.matcher(value.strip());
        var given = address.matches() ? Optional.ofNullable(address.group("port")) : Optional.of("0");
        int port = given.map(Integer::parseInt).orElse(80);
        if (port < 1 || port > 65_535)
            throw new IllegalArgumentException("engine: " + variable + " is no proxy that can be used; write it as "
                + "http://host:port or http://user:password@host:port");
        return new Named(variable, address.group("host"), port, address.group("user"));
    }

    /** Some tools know the names in small letters only; where both are set, those count. */
    private static Optional<String> variable(String name) {
        return Settings.variable(name.toLowerCase(Locale.ROOT)).or(() -> Settings.variable(name));
    }

    static boolean isOnThisMachine(URI uri) {
        return plain(uri.getHost()).matches("localhost|::1|127(\\.[0-9]+){3}");
    }

    private static boolean isDirect(URI uri) {
        return isOnThisMachine(uri)
            || Stream.of(variable("NO_PROXY").orElse("").split("[,\\s]+")).anyMatch(entry -> names(entry, uri));
    }

    /** Whether an entry of NO_PROXY names this host: it, a domain that it is in, a network, each maybe with a port. */
    private static boolean names(String entry, URI uri) {
        if (entry.equals("*")) return true;
        if (entry.contains("/")) return isIn(entry, plain(uri.getHost()));
        int standard = uri.getScheme().equals("https") ? 443 : 80;
        int port = uri.getPort() >= 0 ? uri.getPort() : standard;
        var host = entry.toLowerCase(Locale.ROOT).replaceFirst("(?<=.):" + port + "$", "").replaceFirst("^\\*?\\.", "");
        return !host.isEmpty() && ("." + plain(uri.getHost())).endsWith("." + plain(host));
    }

    private static String plain(String host) { return host.toLowerCase(Locale.ROOT).replaceAll("[\\[\\]]", ""); }

    /** Whether an address is in a network such as 10.0.0.0/8; a name is in none, for it is not looked up. */
    private static boolean isIn(String network, String host) {
        if (!host.matches("[0-9.]+|.*:.*") || !network.matches("[0-9a-fA-F.:]+/[0-9]{1,3}")) return false;
        try {
            var parts = network.split("/");
            var first = InetAddress.getByName(parts[0]).getAddress();
            var address = InetAddress.getByName(host).getAddress();
            int shift = Math.max(0, 8 * first.length - Integer.parseInt(parts[1]));
            return address.length == first.length
                && new BigInteger(1, address).shiftRight(shift).equals(new BigInteger(1, first).shiftRight(shift));
        } catch (UnknownHostException noAddress) {
            return false;
        }
    }

    private static SSLContext trusting(String file) {
        try {
            var all = KeyStore.getInstance(KeyStore.getDefaultType());
            all.load(null, null);
            var roots = new ArrayList<Certificate>(read(file));
            for (var trust : factory(null).getTrustManagers())
                if (trust instanceof X509TrustManager javas) roots.addAll(List.of(javas.getAcceptedIssuers()));
            for (var root : roots) all.setCertificateEntry("root-" + all.size(), root);
            var context = SSLContext.getInstance("TLS");
            context.init(null, factory(all).getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException | IOException e) {
            throw unusable("cannot be trusted: " + file + " (" + Refusal.reason(e) + ")", e);
        }
    }

    private static TrustManagerFactory factory(KeyStore roots) throws GeneralSecurityException {
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(roots);
        return factory;
    }

    private static List<X509Certificate> read(String file) {
        try (var in = Files.newInputStream(Path.of(file))) {
            var found = CertificateFactory.getInstance("X.509").generateCertificates(in).stream()
                .map(X509Certificate.class::cast).toList();
            if (!found.isEmpty()) return found;
        } catch (IOException e) {
            throw unusable("cannot be read: " + file + " (" + Refusal.reason(e) + ")", e);
        } catch (InvalidPathException | CertificateException e) {
            throw unusable("names no file of certificates: " + file, e);
        }
        throw unusable("holds no certificate: " + file, null);
    }

    private static IllegalArgumentException unusable(String what, Exception e) {
        return new IllegalArgumentException("engine: " + FILE + " " + what + "; name a PEM file, or unset it", e);
    }
}
