package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.function.BooleanSupplier;

/** Who answers requests. It knows no batch: a request is an endpoint, as OpenAI has it, and a body. */
interface Engine {
    /** Returns the answer to a client that waits for it, and soon if the engine is down. */
    Answer answer(String endpoint, JsonNode body) throws InterruptedException;

    /**
     * Returns the answer to a batch's request. An engine that is down or overloaded is waited for; null if the
     * answer is not wanted any more before there is one.
     */
    default Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
        return answer(endpoint, body);
    }

    Answer models() throws InterruptedException;

    /** Returns which engine it is and what one quick look at it shows, for whoever starts the server. */
    String state() throws InterruptedException;
}
