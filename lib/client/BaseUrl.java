package sheaf;

import com.openai.azure.AzureOpenAIServiceVersion;
import java.net.URI;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Where a provider's API is, as the user gave it, and what is known of a provider by its host alone.
 * @param apiVersion that Azure's older paths ask for in each call; "": none is sent
 * @param parameter one that may not stand there; "": there is none
 */
record BaseUrl(String url, String apiVersion, String parameter) {
    private static final Pattern AZURE = Pattern.compile(
        "(?i).+\\.(openai\\.azure\\.(com|us|cn)|(cognitiveservices|services\\.ai)\\.azure\\.com)");
    private static final String VERSION = "api-version=";
    /** Where {@code ./jbang serve} and {@code ./jbang local} listen. */
    static final String LOCAL = "http://127.0.0.1:4141/v1";
    /** What a base URL begins with that names an engine without batches, before which a server of ours is put. */
    static final String ENGINE = "engine:";
    private static final Pattern FREE = Pattern.compile("ollama|lmstudio|vllm|llama-server");
    /** What else is copied from Azure's pages than the address of a resource. */
    private static final String AZURE_ROUTE = "/(deployments|files|batches)(/.*)?$";
    /**
     * Providers whose batches, or the files of these, have an API of their own:
     * https://ai.google.dev/gemini-api/docs/openai, https://docs.claude.com/en/api/messages-batches,
     * https://docs.mistral.ai/capabilities/batch, https://docs.fireworks.ai/guides/batch-inference,
     * https://openrouter.ai/docs
     */
    private static final Map<String, String> OTHERS = Map.of(
        "generativelanguage.googleapis.com", "Gemini makes batches, but takes no input file and gives no answers,",
        "api.anthropic.com", "Anthropic has no batches",
        "api.mistral.ai", "Mistral has no batches",
        "api.fireworks.ai", "Fireworks has no batches",
        "openrouter.ai", "OpenRouter takes no input file");

    /**
     * Reads what a user gave, or what was written down of it.
     * @param version for Azure, if the URL names none; "": the newest that is stable
     * @param names those that may stand in the place of a base URL
     */
    static BaseUrl of(String given, String version, String names) {
        if (isEngine(given.strip())) return new BaseUrl(ENGINE + engineOf(engine(given.strip())), "", "");
        var uri = uri(given.strip(), names, "SHEAF_API_KEY");
        var query = Optional.ofNullable(uri.getRawQuery()).orElse("");
        var asked = Optional.of(query).filter(text -> text.matches(VERSION + "[\\w.-]+"));
        var path = uri.getRawPath().replaceFirst("/+$", "");
        if (isAzure(uri) || asked.isPresent()) path = path.replaceFirst(AZURE_ROUTE, "");
        if (isAzure(uri) && path.isEmpty()) path = "/openai";
        boolean isOlder = isAzure(uri) && !path.endsWith("/v1");
        return new BaseUrl(uri.getScheme() + "://" + uri.getRawAuthority() + path,
            asked.map(text -> text.substring(VERSION.length())).orElse(isOlder ? versionOr(version) : ""),
            asked.isPresent() ? "" : query.replaceFirst("(?s)[=&].*", ""));
    }

    /** Refuses a parameter that no call would bear. */
    BaseUrl checked() {
        if (parameter.isEmpty()) return this;
        throw new IllegalArgumentException("provider: the base URL of " + uri().getHost() + " has the parameter \""
            + parameter + "\"; only one api-version may stand there, a key goes into its variable");
    }

    private static String versionOr(String version) {
        return version.isEmpty() ? AzureOpenAIServiceVersion.latestStableVersion().value() : version;
    }

    /** Returns the name of an engine in small letters, or its URL; which names there are its server knows. */
    private static String engineOf(String given) {
        if (given.matches("[\\w-]+")) return given.toLowerCase(Locale.ROOT);
        uri(given, "ollama, lmstudio, vllm, llama-server, openrouter, mistral, cerebras", "SHEAF_ENGINE_KEY");
        return given.replaceFirst("/+$", "");
    }

    private static URI uri(String given, String names, String keyVariable) {
        try {
            var uri = URI.create(given);
            boolean isHttp = uri.getHost() != null && String.valueOf(uri.getScheme()).matches("https?");
            if (isHttp && uri.getUserInfo() == null) return uri;
        } catch (IllegalArgumentException e) {
            // told below
        }
        if (given.matches("(?s)\\w+://.*@.*"))                 // one with marks of its own makes it no URL
            throw new IllegalStateException("provider: the base URL of "
                + given.replaceFirst("(?s).*@", "").replaceFirst("(?s)(:[0-9]+)?([/?#].*)?$", "")
                + " holds a key; put it into " + keyVariable);
        throw new IllegalArgumentException("provider: \"" + given
            + "\" is neither a base URL like http://localhost:8080/v1 nor one of " + names);
    }

    private URI uri() { return URI.create(url); }

    static boolean isEngine(String url) { return url.startsWith(ENGINE); }

    /** Whether a server of ours is started for a run, if none is there. */
    static boolean isStarted(String url) { return isEngine(url) || url.equals(LOCAL); }

    /** Returns the name or the URL of an engine; any other URL stays as it is. */
    static String engine(String url) { return isEngine(url) ? url.substring(ENGINE.length()) : url; }

    /** Returns where the key of an engine belongs, which is asked by its own. */
    static String keyRemedy(String url) {
        boolean isHosted = engine(url).matches("[\\w-]+") && !FREE.matcher(engine(url)).matches();
        return "; set " + (isHosted ? engine(url).toUpperCase(Locale.ROOT) + "_API_KEY" : "SHEAF_ENGINE_KEY")
            + " to its key";
    }

    /** Whether who answers there is on this machine, and so asks for nothing. */
    static boolean isFree(String url) {
        if (!isEngine(url)) return isLoopback(URI.create(url));
        var engine = engine(url);
        return FREE.matcher(engine).matches() || engine.contains("://") && isLoopback(URI.create(engine));
    }

    /** Returns what a provider there is called: "local" on this machine, else its address. */
    String name() {
        return isLoopback(uri()) ? "local" : uri().getAuthority() + uri().getPath().replaceFirst("/v1$", "");
    }

    boolean isAzure() { return isAzure(uri()); }

    private static boolean isAzure(URI uri) { return uri.getHost() != null && AZURE.matcher(uri.getHost()).matches(); }

    /** Whether this is OpenAI's own API, in whatever region. */
    static boolean isOpenAi(URI uri) { return ("." + uri.getHost()).endsWith(".api.openai.com"); }

    /** Whether it is on this machine, as any server of ours before an engine is. */
    static boolean isLoopback(URI uri) {
        if (uri.getHost() == null) return isEngine(uri.toString());
        var host = uri.getHost();
        return host.equals("localhost") || host.equals("[::1]") || host.matches("127(\\.[0-9]+){3}");
    }

    /**
     * Refuses a provider that surely cannot run a batch that is made by OpenAI's Files and Batches API.
     * @param remedy by which it is asked all the same
     */
    static void checkBatches(String baseUrl, Object remedy) {
        var lack = isEngine(baseUrl) ? null : OTHERS.get(URI.create(baseUrl).getHost());
        if (lack != null)
            throw new IllegalStateException("submit: " + lack + " over OpenAI's API; choose another provider, or "
                + remedy + " to ask one by one, at the full price");
    }
}
