package sheaf.support;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Base64;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;

/** TLS in front of a server on this machine, with a certificate that it has signed itself. */
public final class TlsServer implements AutoCloseable {
    private static final String PASSWORD = "password";
    private final SSLServerSocket listening;
    private final int target;
    private final Path certificate;

    /**
     * Listens on a free port.
     * @param folder for its key and certificate
     * @param target the port of the server behind it
     * @param options of keytool: for whom the certificate is, and when
     */
    public TlsServer(Path folder, int target, String... options) {
        this.target = target;
        this.certificate = folder.resolve("certificate.pem");
        try {
            var keys = keys(folder.resolve("keys.p12"), options);
            var encoded = Base64.getMimeEncoder(64, "\n".getBytes(US_ASCII))
                .encodeToString(keys.getCertificate("server").getEncoded());
            Files.writeString(certificate,
                "# of a test\n-----BEGIN CERTIFICATE-----\n" + encoded + "\n-----END CERTIFICATE-----\n");
            var factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            factory.init(keys, PASSWORD.toCharArray());
            var context = SSLContext.getInstance("TLS");
            context.init(factory.getKeyManagers(), null, null);
            listening = (SSLServerSocket) context.getServerSocketFactory()
                .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (GeneralSecurityException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
        var thread = new Thread(this::listen);
        thread.setDaemon(true);
        thread.start();
    }

    private static KeyStore keys(Path file, String... options)
            throws IOException, InterruptedException, GeneralSecurityException {
        var keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        var command = Stream.concat(Stream.of(keytool, "-genkeypair", "-alias", "server", "-keyalg", "EC", "-storetype",
            "PKCS12", "-storepass", PASSWORD, "-keystore", file.toString()), Stream.of(options))
            .collect(Collectors.toList());
        var process = new ProcessBuilder(command).redirectErrorStream(true).start();
        var said = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) throw new IllegalStateException(said);
        return KeyStore.getInstance(file.toFile(), PASSWORD.toCharArray());
    }

    private void listen() {
        try {
            while (true) {
                var client = listening.accept();
                var thread = new Thread(() -> relay(client));
                thread.setDaemon(true);
                thread.start();
            }
        } catch (IOException closed) {
            // the test is over
        }
    }

    private void relay(Socket client) {
        try (client; var server = new Socket(InetAddress.getLoopbackAddress(), target)) {
            ForwardProxy.pump(client, server);
        } catch (IOException closed) {
            // one of the two has hung up
        }
    }

    public int port() { return listening.getLocalPort(); }

    /** Returns its certificate as a PEM file. */
    public Path certificate() { return certificate; }

    @Override public void close() throws IOException { listening.close(); }
}
