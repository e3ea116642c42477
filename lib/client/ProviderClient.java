package sheaf;

import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.TextNode;
import com.fasterxml.jackson.datatype.jdk8.Jdk8Module;
import com.openai.azure.AzureUrlPathMode;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.Timeout;
import java.io.IOException;
import java.net.URI;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import okhttp3.HttpUrl;
import okhttp3.Interceptor;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okhttp3.ResponseBody;
import okio.BufferedSink;
import sheaf.Vocabulary.Dialect;

/**
 * openai-java's client for one provider: what each of its requests bears, where an upload goes, through which proxy,
 * whose certificate is trusted. It knows no answer.
 */
final class ProviderClient {
    /** One client for each address and key, under the same settings: a client has threads of its own. */
    private static final Map<List<Object>, ProviderClient> CLIENTS = new ConcurrentHashMap<>();
    /** The whole of a large file may take long; a silent peer may not. */
    private static final Duration CONNECT = Duration.ofSeconds(30);
    private static final Duration WRITE = Duration.ofSeconds(60);
    private static final Duration ANSWER = Duration.ofMinutes(10);      // of one that a model thinks about
    private static final Timeout PATIENT = Timeout.builder().connect(CONNECT).write(WRITE)
        .read(Duration.ofMinutes(5)).request(Duration.ZERO).build();
    /** As openai-java's own, but for its module for Kotlin, which takes longer to start than a call. */
    private static final JsonMapper MAPPER = JsonMapper.builder().addModule(new Jdk8Module())
        .disable(MapperFeature.AUTO_DETECT_CREATORS, MapperFeature.AUTO_DETECT_FIELDS,
            MapperFeature.AUTO_DETECT_GETTERS, MapperFeature.AUTO_DETECT_IS_GETTERS, MapperFeature.AUTO_DETECT_SETTERS)
        .build();
    private static final MediaType JSON = MediaType.get("application/json");
    private static final long LONGEST_ERROR = 100_000;     // bytes
    private static final String AUTHORIZATION = "Authorization";
    private final String baseUrl;
    private final String key;
    private final Dialect dialect;
    private final Map<String, String> headers;
    private final OkHttpClient http;
    private final OpenAIClient client;

    private ProviderClient(String baseUrl, String key, Dialect dialect, Map<String, String> headers) {
        this.baseUrl = baseUrl;
        this.key = key;
        this.dialect = dialect;
        this.headers = headers;
        http = http();
        client = made();
    }

    OpenAIClient client() { return client; }

    /** Posts a body as it stands, and once: nobody but the caller sends it again. An answer may take long. */
    Response post(String path, byte[] body) throws IOException {
        var url = HttpUrl.get(baseUrl + path).newBuilder();
        if (!dialect.apiVersion().isEmpty()) url.addQueryParameter("api-version", dialect.apiVersion());
        var request = new Request.Builder().url(url.build()).header(AUTHORIZATION, "Bearer " + key)
            .post(new Once(RequestBody.create(body, JSON))).build();
        return http.newBuilder().connectTimeout(CONNECT).writeTimeout(WRITE).readTimeout(ANSWER)
            .retryOnConnectionFailure(false).build().newCall(request).execute();
    }

    /** @throws IllegalStateException if the environment names no proxy or file of certificates that can be used */
    static ProviderClient of(String baseUrl, String key, Dialect dialect, Map<String, String> headers) {
        Proxies.of(URI.create(baseUrl));                   // refuses what is none, before OkHttp would
        return CLIENTS.computeIfAbsent(
            List.of(baseUrl, key, dialect, headers, Proxies.settings(), Certificates.file()),
            any -> new ProviderClient(baseUrl, key, dialect, headers));
    }

    /** Makes a client without retries of its own: it would send POST /batches three times. */
    private OpenAIClient made() {
        var made = OpenAIOkHttpClient.builder().okHttpClient(http).baseUrl(baseUrl).apiKey(key).maxRetries(0)
            .jsonMapper(MAPPER).timeout(PATIENT).azureUrlPathMode(AzureUrlPathMode.UNIFIED)
            .addInterceptor(chain -> legible(chain.proceed(adapted(chain.request()))));
        if (!dialect.apiVersion().isEmpty()) made.putQueryParam("api-version", dialect.apiVersion());
        return made.build();
    }

    private OkHttpClient http() {
        var proxies = new Proxies();
        var http = new OkHttpClient.Builder().proxySelector(proxies).proxyAuthenticator(proxies)
            .addNetworkInterceptor(proxies).addNetworkInterceptor(this::signed);
        if (!Certificates.file().isEmpty() && baseUrl.startsWith("https:")) trust(http, Certificates.file());
        return http.build();
    }

    private static void trust(OkHttpClient.Builder http, String file) {
        var trusted = Certificates.trust(file);
        try {
            var context = SSLContext.getInstance("TLS");
            context.init(null, new TrustManager[] {trusted}, null);
            http.sslSocketFactory(context.getSocketFactory(), trusted);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Has a request bear the user's headers, and the key as the provider wants it; what it redirects to gets none. */
    private Response signed(Interceptor.Chain chain) throws IOException {
        var request = chain.request();
        if (!isProviders(request.url())) return chain.proceed(request);
        var signed = request.newBuilder();
        if (!dialect.apiVersion().isEmpty() && !ExtraHeaders.authorize(headers))
            signed.removeHeader(AUTHORIZATION).header("api-key", key);
        headers.forEach(signed::header);
        return chain.proceed(signed.build());
    }

    private boolean isProviders(HttpUrl url) {
        var base = HttpUrl.get(baseUrl);
        return url.host().equals(base.host()) && url.port() == base.port() && url.scheme().equals(base.scheme());
    }

    /** The client drops an error that is no JSON; as a text of JSON it keeps it. */
    private static Response legible(Response response) throws IOException {
        if (response.isSuccessful()) return response;
        var said = response.peekBody(LONGEST_ERROR).string();
        if (said.isBlank() || !Json.lenient(said).isMissingNode()) return response;
        response.body().close();
        return response.newBuilder().body(ResponseBody.create(TextNode.valueOf(said).toString(), JSON)).build();
    }

    /**
     * The client has one route for uploads; some providers have another. What makes a batch is sent once: OkHttp
     * would send it again by itself after some answers, with no look at the list between.
     */
    private Request adapted(Request request) {
        var url = request.url();
        if (!request.method().equals("POST")) return request;
        if (url.encodedPath().endsWith("/batches")) return request.newBuilder().post(new Once(request.body())).build();
        var path = url.encodedPath().replaceFirst("/files$", dialect.uploadPath());
        return request.newBuilder().url(url.newBuilder().encodedPath(path).build()).build();
    }

    /** A body that may not be sent a second time. */
    private static final class Once extends RequestBody {
        private final RequestBody body;

        Once(RequestBody body) { this.body = body; }

        @Override public MediaType contentType() { return body.contentType(); }

        @Override public long contentLength() throws IOException { return body.contentLength(); }

        @Override public void writeTo(BufferedSink sink) throws IOException { body.writeTo(sink); }

        @Override public boolean isOneShot() { return true; }
    }
}
