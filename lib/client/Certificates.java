package sheaf;

import static sheaf.Messages.reason;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Whose certificates are trusted: Java's roots, and with them those of SSL_CERT_FILE; and why one is not. */
final class Certificates {
    private static final String FILE = "SSL_CERT_FILE";

    private Certificates() {}

    /** Returns the file of further roots; "" if there is none. */
    static String file() { return Environment.get(FILE); }

    /** Returns who trusts Java's roots and those of the file. */
    static X509TrustManager trust(String file) {
        try {
            var all = KeyStore.getInstance(KeyStore.getDefaultType());
            all.load(null, null);
            for (var root : javasRoots().getAcceptedIssuers()) add(all, root);
            for (var root : read(file)) add(all, root);
            return trustIn(all);
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException("provider: cannot trust the certificates of " + FILE + " ("
                + Messages.cause(e) + ")", e);
        }
    }

    private static void add(KeyStore all, X509Certificate root) throws GeneralSecurityException {
        all.setCertificateEntry("root-" + all.size(), root);
    }

    private static X509TrustManager javasRoots() throws GeneralSecurityException { return trustIn(null); }

    private static X509TrustManager trustIn(KeyStore roots) throws GeneralSecurityException {
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(roots);
        return Stream.of(factory.getTrustManagers()).filter(X509TrustManager.class::isInstance)
            .map(X509TrustManager.class::cast).findFirst().orElseThrow();
    }

    private static List<X509Certificate> read(String file) {
        var found = new ArrayList<X509Certificate>();
        try (var in = Files.newInputStream(Path.of(file))) {
            for (var each : CertificateFactory.getInstance("X.509").generateCertificates(in))
                found.add((X509Certificate) each);
        } catch (IOException e) {
            throw unusable("cannot be read: " + file + " (" + reason(e) + ")", e);
        } catch (InvalidPathException | CertificateException e) {
            throw unusable("names no file of certificates: " + file, e);
        }
        if (found.isEmpty()) throw unusable("holds no certificate: " + file, null);
        return found;
    }

    private static IllegalStateException unusable(String what, Exception e) {
        return new IllegalStateException("provider: " + FILE + " " + what + "; name a PEM file, or unset it", e);
    }

    /** What keeps a server from being trusted, and what helps. */
    record Distrust(String reason, String remedy) {}

    /** Returns why a server was not trusted; nothing if a connection failed for another reason. */
    static Optional<Distrust> distrust(IOException e) {
        if (e instanceof SSLPeerUnverifiedException)
            return Optional.of(new Distrust("its certificate is another host's", "check the base URL"));
        var causes = Stream.iterate((Throwable) e, cause -> cause != null, Throwable::getCause).limit(20).toList();
        if (has(causes, CertificateExpiredException.class) || has(causes, CertificateNotYetValidException.class))
            return Optional.of(new Distrust("its certificate has expired, or is not valid yet", "check this machine's "
                + "clock, or tell who runs it"));
        if (has(causes, CertPathBuilderException.class))
            return Optional.of(new Distrust("its certificate is signed by nobody who is trusted here", "set " + FILE
                + " to a PEM file with the certificate of who signed it, such as your company's proxy"));
        return String.valueOf(e.getMessage()).startsWith("Unsupported or unrecognized SSL message")
            ? Optional.of(new Distrust("it speaks no TLS", "does it begin with http:// instead?")) : Optional.empty();
    }

    private static boolean has(List<Throwable> causes, Class<? extends Throwable> type) {
        return causes.stream().anyMatch(type::isInstance);
    }
}
