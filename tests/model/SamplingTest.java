package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How a model draws where a request leaves it open. */
class SamplingTest {
    /** What the makers say: generation_config.json beside the weights, of SmolLM2 the card. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({"Smollm2 135M 8k Lc100K Mix1 Ep2, llama, 0.2, 0.9, 40",
        "Qwen2.5 Coder 1.5B Instruct, qwen2, 0.7, 0.8, 20",
        "Qwen2.5 0.5B Instruct, qwen2, 0.7, 0.8, 20", "Llama 3.2 1B Instruct, llama, 0.6, 0.9, 40",
        "Meta-Llama-3-8B-Instruct, llama, 0.6, 0.9, 40", "Gemma 3 1b It, gemma3, 1, 0.95, 64",
        "it, gemma3, 1, 0.95, 64", "Mistral 7B Instruct, llama, 0.8, 0.95, 40"})
    void eachFamilyDrawsAsItsMakersRecommend(String name, String architecture, double temperature, double topP,
                                             int topK) {
        var header = new Gguf(Map.of("general.name", name, "general.architecture", architecture));

        assertEquals(new Sampling(temperature, topP, topK), Sampling.of(header));
    }

    @Test void whatTheFileItselfRecommendsComesFirst() {
        var metadata = new HashMap<String, Object>(Map.of("general.name", "Qwen2.5 7B", "general.sampling.temp", 0.5,
            "general.sampling.top_k", -1));

        assertEquals(new Sampling(0.5, 0.8, 0), Sampling.of(new Gguf(metadata)));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'prompt':''}                          | {'prompt':'','temperature':0.7,'top_p':0.8,'top_k':20}",
        "{'prompt':'','temperature':null}       | {'prompt':'','temperature':0.7,'top_p':0.8,'top_k':20}",
        "{'prompt':'','temperature':1,'top_p':1}| {'prompt':'','temperature':1,'top_p':1,'top_k':20}",
        "{'input':'an embedding'}               | {'input':'an embedding'}"})
    void aRequestSaysItFirst(String request, String filled) throws IOException {
        assertEquals(filled.replace('\'', '"'), filled(request).toString());
    }

    @Test void ofLabelsTheLikeliestIsChosenUnlessTheRequestSaysOtherwise() throws IOException {
        var format = "'messages': [], 'response_format': {'type': 'json_schema', 'json_schema': {'schema':"
            + " {'properties': {'choice': {'enum': ['a', 'b']}}}}}";

        assertEquals(0, filled("{" + format + "}").get("temperature").asDouble());
        assertEquals(1, filled("{'temperature': 1, " + format + "}").get("temperature").asDouble());
    }

    private static ObjectNode filled(String request) throws IOException {
        var body = (ObjectNode) new ObjectMapper().readTree(request.replace('\'', '"'));
        new Sampling(0.7, 0.8, 20).fill(body);
        return body;
    }
}
