package sheaf;

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
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import okhttp3.Authenticator;
import okhttp3.Credentials;
import okhttp3.Interceptor;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.Route;

/**
 * The proxies that the environment names, by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as other tools read them. Where it
 * names none, those of Java's own settings count; to this machine there is never one.
 */
final class Proxies extends ProxySelector implements Authenticator, Interceptor {
    private static final Pattern ADDRESS =
        Pattern.compile("(?:http://)?(?:(?<user>.*)@)?(?<host>\\[[^\\]]+\\]|[^:/@\\[]+)(?::(?<port>[0-9]{1,5}))?/*");
    private static final String WHO = "Proxy-Authorization";
    private static final int DEFAULT_PORT = 80;                // of a proxy at http://host
    private static final int LAST_PORT = 65_535;

    /** One that the environment names. */
    record Named(String variable, String host, int port, String user) {
        String address() { return host + ":" + port + " of " + variable; }

        private Optional<String> credentials() {
            if (user == null) return Optional.empty();
            var parts = user.split(":", 2);
            return Optional.of(Credentials.basic(decoded(parts[0]), parts.length < 2 ? "" : decoded(parts[1]),
                StandardCharsets.UTF_8));
        }

        private static String decoded(String text) {
            try {
                return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
            } catch (IllegalArgumentException aBarePercent) {
                return text;
            }
        }
    }

    /** Returns all that decides which proxy is taken; clients that were made under other settings have other ones. */
    static List<String> settings() {
        return Stream.of("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY").map(Proxies::setting).toList();
    }

    /** Some tools know the names in small letters only; where both are set, those count. */
    private static String setting(String name) {
        var small = Environment.get(name.toLowerCase(Locale.ROOT));
        return small.isEmpty() ? Environment.get(name) : small;
    }

    /** @throws IllegalStateException if the environment names what is no proxy */
    static Optional<Named> of(URI uri) {
        var variable = uri.getScheme().equals("https") ? "HTTPS_PROXY" : "HTTP_PROXY";
        var value = setting(variable);
        return value.isEmpty() || isDirect(uri) ? Optional.empty() : Optional.of(named(variable, value));
    }

    /** It may hold a password, so it is not shown. */
    private static Named named(String variable, String value) {
        var address = ADDRESS.matcher(value);
        var given = address.matches() ? Optional.ofNullable(address.group("port")) : Optional.of("0");
        int port = given.map(Integer::parseInt).orElse(DEFAULT_PORT);
        if (port < 1 || port > LAST_PORT)
            throw new IllegalStateException("provider: " + variable + " is no proxy that can be used; write it as "
                + "http://host:port or http://user:password@host:port");
        return new Named(variable, address.group("host"), port, address.group("user"));
    }

    private static boolean isDirect(URI uri) {
        return BaseUrl.isLoopback(uri)
            || Stream.of(setting("NO_PROXY").split("[,\\s]+")).anyMatch(entry -> names(entry, uri));
    }

    /** Whether an entry of NO_PROXY names this host: it, a domain that it is in, a network, each maybe with a port. */
    private static boolean names(String entry, URI uri) {
        if (entry.equals("*")) return true;
        if (entry.contains("/")) return isIn(entry, uri.getHost());
        var port = uri.getPort() >= 0 ? uri.getPort() : defaultPort(uri);
        var host = entry.toLowerCase(Locale.ROOT).replaceFirst("(?<=.):" + port + "$", "").replaceFirst("^\\*?\\.", "");
        return !host.isEmpty() && ("." + plain(uri.getHost())).endsWith("." + plain(host));
    }

    private static int defaultPort(URI uri) { return uri.getScheme().equals("https") ? 443 : 80; }

    private static String plain(String host) { return host.toLowerCase(Locale.ROOT).replaceAll("[\\[\\]]", ""); }

    /** Whether an address is in a network such as 10.0.0.0/8; a name is in none, for it is not looked up. */
    private static boolean isIn(String network, String host) {
        if (!plain(host).matches("[0-9.]+|.*:.*") || !network.matches("[0-9a-fA-F.:]+/[0-9]{1,3}")) return false;
        try {
            var parts = network.split("/");
            var first = InetAddress.getByName(parts[0]).getAddress();
            var address = InetAddress.getByName(plain(host)).getAddress();
            int shift = Math.max(0, 8 * first.length - Integer.parseInt(parts[1]));
            return address.length == first.length
                && new BigInteger(1, address).shiftRight(shift).equals(new BigInteger(1, first).shiftRight(shift));
        } catch (UnknownHostException noAddress) {
            return false;
        }
    }

    @Override public List<Proxy> select(URI uri) {
        if (BaseUrl.isLoopback(uri)) return List.of(Proxy.NO_PROXY);
        var named = of(uri).map(proxy -> InetSocketAddress.createUnresolved(plain(proxy.host), proxy.port));
        if (named.isPresent()) return List.of(new Proxy(Proxy.Type.HTTP, named.get()));
        var javas = ProxySelector.getDefault();
        return isDirect(uri) || javas == null ? List.of(Proxy.NO_PROXY) : javas.select(uri);
    }

    @Override public void connectFailed(URI uri, SocketAddress address, IOException e) {}

    /** Says who asks for a tunnel; it is asked before the first try already. */
    @Override public Request authenticate(Route route, Response response) {
        if (route == null || !route.requiresTunnel() || response.request().header(WHO) != null) return null;
        return of(response.request().url().uri()).flatMap(Named::credentials)
            .map(who -> response.request().newBuilder().header(WHO, who).build()).orElse(null);
    }

    /** Says who asks a proxy that passes each request on: an upload could not be sent a second time. */
    @Override public Response intercept(Chain chain) throws IOException {
        var request = chain.request();
        boolean isPassedOn = !request.isHttps() && chain.connection().route().proxy().type() == Proxy.Type.HTTP;
        var who = isPassedOn ? of(request.url().uri()).flatMap(Named::credentials) : Optional.<String>empty();
        return chain.proceed(who.map(text -> request.newBuilder().header(WHO, text).build())
            .orElse(request));
    }
}
