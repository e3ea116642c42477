package sheaf.support;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A proxy as companies have one: it passes requests on, opens tunnels, and may ask who is there. The hosts of a test
 * are names that only it knows, each a port of this machine.
 */
public final class ForwardProxy implements AutoCloseable {
    private final ServerSocket listening;
    private final Map<String, Integer> hosts;
    private final String credentials;
    private final List<String> asked = new CopyOnWriteArrayList<>();

    /**
     * Listens on a free port.
     * @param hosts the port that stands for each host
     * @param credentials what Proxy-Authorization has to be; "": whatever
     */
    public ForwardProxy(Map<String, Integer> hosts, String credentials) {
        this.hosts = hosts;
        this.credentials = credentials;
        try {
            listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        start(this::listen);
    }

    public String address() { return "127.0.0.1:" + listening.getLocalPort(); }

    /** Returns the head of each request that came, of a tunnel only its own. */
    public List<String> asked() { return asked; }

    private static void start(Runnable work) {
        var thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    private void listen() {
        try {
            while (true) {
                var client = listening.accept();
                start(() -> take(client));
            }
        } catch (IOException closed) {
            // the test is over
        }
    }

    private void take(Socket client) {
        try (client) {
            var head = head(client.getInputStream());
            if (head.isEmpty()) return;
            asked.add(head);
            if (!credentials.isEmpty() && !head.contains("\r\nProxy-Authorization: " + credentials + "\r\n"))
                answer(client, "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"it\"");
            else if (head.startsWith("CONNECT ")) tunnel(client, head);
            else passOn(client, head);
        } catch (IOException closed) {
            // one of the two has hung up
        }
    }

    private static void answer(Socket client, String status) throws IOException {
        client.getOutputStream().write(("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .getBytes(ISO_8859_1));
        client.shutdownOutput();
        client.getInputStream().readAllBytes();
    }

    private void tunnel(Socket client, String head) throws IOException {
        try (var server = connected(head.split(" ")[1].replaceFirst(":[0-9]+$", ""))) {
            client.getOutputStream().write("HTTP/1.1 200 Connection established\r\n\r\n".getBytes(ISO_8859_1));
            pump(client, server);
        }
    }

    /** The connection serves one request, so that no second one goes by unseen. */
    private void passOn(Socket client, String head) throws IOException {
        var host = head.replaceFirst("(?s)^\\S+ http://([^/:]+).*", "$1");
        try (var server = connected(host)) {
            server.getOutputStream().write(head.replaceFirst(" http://[^/]+", " ")
                .replaceFirst("(?i)\r\nConnection: [^\r]*", "\r\nConnection: close").getBytes(ISO_8859_1));
            pump(client, server);
        }
    }

    private Socket connected(String host) throws IOException {
        var port = hosts.get(host);
        if (port == null) throw new IOException(host + " is unknown");
        return new Socket(InetAddress.getLoopbackAddress(), port);
    }

    static void pump(Socket client, Socket server) throws IOException {
        start(() -> {
            try {
                client.getInputStream().transferTo(server.getOutputStream());
                server.shutdownOutput();
            } catch (IOException closed) {
                // one of the two has hung up
            }
        });
        server.getInputStream().transferTo(client.getOutputStream());
    }

    /** Reads up to the empty line, and no byte more. */
    private static String head(InputStream in) throws IOException {
        var head = new ByteArrayOutputStream();
        for (int b = in.read(); b >= 0; b = in.read()) {
            head.write(b);
            if (b == '\n' && head.toString(ISO_8859_1).endsWith("\r\n\r\n")) return head.toString(ISO_8859_1);
        }
        return "";
    }

    @Override public void close() throws IOException { listening.close(); }
}
