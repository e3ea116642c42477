package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import sheaf.model.ChatTemplate.Message;

/** A chat as a model was taught to see it, by the mark in its template. */
class ChatTemplateTest {
    @ParameterizedTest(name = "{0}")
    @MethodSource
    void aChatIsRenderedAsTheModelWasTaught(String family, String jinja, List<Message> chat, String prompt) {
        assertEquals(prompt, ChatTemplate.of(jinja).render(chat));
    }

    static Stream<Arguments> aChatIsRenderedAsTheModelWasTaught() {
        var user = new Message("user", "Hi \uD83D\uDE00");
        var system = new Message("system", "Be brief.");
        var talk = List.of(system, user, new Message("assistant", "Yes?"), new Message("user", "Bye"));
        var smol = "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}";
        var turn = "<|im_start|>user\nHi \uD83D\uDE00<|im_end|>\n<|im_start|>assistant\n";
        return Stream.of(
            Arguments.of("ChatML with its default system prompt", smol, List.of(user),
                "<|im_start|>system\nYou are SmolLM<|im_end|>\n" + turn),
            Arguments.of("ChatML with a newline escaped in Jinja", smol.replace("\n", "\\n"), List.of(user),
                "<|im_start|>system\nYou are SmolLM<|im_end|>\n" + turn),
            Arguments.of("ChatML with the user's system prompt", smol, List.of(system, user),
                "<|im_start|>system\nBe brief.<|im_end|>\n" + turn),
            Arguments.of("ChatML without a default", "{{ '<|im_start|>' + role }}", List.of(user),
                turn),
            Arguments.of("Llama 3", "<|start_header_id|>", talk,
                "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                    + "<|start_header_id|>user<|end_header_id|>\n\nHi \uD83D\uDE00<|eot_id|>"
                    + "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
                    + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                    + "<|start_header_id|>assistant<|end_header_id|>\n\n"),
            Arguments.of("Gemma", "<start_of_turn>", talk,
                "<start_of_turn>user\nBe brief.\n\nHi \uD83D\uDE00<end_of_turn>\n"
                    + "<start_of_turn>model\nYes?<end_of_turn>\n"
                    + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"),
            Arguments.of("a model without a template", "", talk, "Be brief.\nHi \uD83D\uDE00\nYes?\nBye"));
    }
}
