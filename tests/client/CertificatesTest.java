package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.support.TlsServer;

/** Which servers are trusted, and what is said of one that is not. */
class CertificatesTest {
    private static final String[] HERE = {"-dname", "CN=here", "-ext", "san=ip:127.0.0.1"};
    private static final String NOBODY = "(its certificate is signed by nobody who is trusted here); set SSL_CERT_FILE "
        + "to a PEM file with the certificate of who signed it, such as your company's proxy";
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path folder;

    @BeforeEach void environment() { System.setProperty("SHEAF_HOME", folder.resolve("home").toString()); }

    @AfterEach void forget() {
        System.clearProperty("SHEAF_HOME");
        System.setProperty("SSL_CERT_FILE", "");
    }

    @Test void aCertificateThatNobodySignedIsASentenceAndInTheFileItIsTrusted() throws IOException {
        try (var tls = tls(HERE)) {
            var draft = Sheaf.batch().provider(url(tls)).model("echo").prompts("one", "two").quiet();

            assertSays("submit: cannot reach " + url(tls) + " " + NOBODY, draft::submit);
            assertEquals(List.of(), server.requests(), "something was sent to a stranger");

            System.setProperty("SSL_CERT_FILE", tls.certificate().toString());
            assertEquals(List.of("one", "two"), draft.submit().results().stream().map(Result::text).toList());
        }
    }

    @Test void theRootsOfJavaStayTrusted() throws Exception {
        try (var tls = tls(HERE)) {
            var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            factory.init((KeyStore) null);
            var javas = ((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers();

            var all = List.of(Certificates.trust(tls.certificate().toString()).getAcceptedIssuers());

            assertTrue(javas.length > 10 && all.containsAll(List.of(javas)));
            assertEquals(javas.length + 1, all.size());
        }
    }

    @Test void anotherHostsCertificateIsASentence() throws IOException {
        try (var tls = tls("-dname", "CN=other.test", "-ext", "san=dns:other.test")) {
            System.setProperty("SSL_CERT_FILE", tls.certificate().toString());

            assertSays("models: cannot reach " + url(tls) + " (its certificate is another host's); check the base URL",
                () -> Provider.of(url(tls)).models());
        }
    }

    /** Nobody here has one that somebody else has signed, and who is trusted may be of any age. */
    @Test void oneThatHasExpiredIsToldFromOneThatIsUnknown() {
        var failed = new SSLHandshakeException("PKIX path validation failed");
        failed.initCause(new CertificateException(new CertificateExpiredException("NotAfter: long ago")));

        assertEquals("Distrust[reason=its certificate has expired, or is not valid yet, remedy=check this machine's "
            + "clock, or tell who runs it]", Certificates.distrust(failed).orElseThrow().toString());
        assertEquals(Optional.empty(), Certificates.distrust(new SSLHandshakeException("Remote host terminated it")));
    }

    @Test void aServerWithoutTlsIsASentence() {
        var url = server.baseUrl().replace("http://", "https://");

        assertSays("models: cannot reach " + url + " (it speaks no TLS); does it begin with http:// instead?",
            () -> Provider.of(url).models());
    }

    @Test void aFileOfCertificatesThatCannotBeUsedIsASentence() throws IOException {
        var file = folder.resolve("roots.pem");
        System.setProperty("SSL_CERT_FILE", file.toString());
        var provider = Provider.of("https://127.0.0.1:9/v1");

        assertSays("provider: SSL_CERT_FILE cannot be read: " + file + " (no such file or folder); name a PEM file, or "
            + "unset it", provider::models);
        Files.writeString(file, "");
        assertSays("provider: SSL_CERT_FILE holds no certificate: " + file + "; name a PEM file, or unset it",
            provider::models);
        Files.writeString(file, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n");
        assertSays("provider: SSL_CERT_FILE names no file of certificates: " + file + "; name a PEM file, or unset it",
            provider::models);
        assertEquals("echo", Provider.of(server.baseUrl()).models().get(0).get("id"), "it is not asked without TLS");
    }

    private TlsServer tls(String... options) {
        return new TlsServer(folder, URI.create(server.baseUrl()).getPort(), options);
    }

    private static String url(TlsServer tls) { return "https://127.0.0.1:" + tls.port() + "/v1"; }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
