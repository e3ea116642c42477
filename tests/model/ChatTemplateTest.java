package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.model.ChatTemplate.Message;

/** A chat as a model was taught to see it; the prompts are what Jinja2 renders of such models' own templates. */
class ChatTemplateTest {
    static final String QWEN = "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]"
        + "['content'] + '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud."
        + " You are a helpful assistant.<|im_end|>\\n' }}{%- endif %}";
    static final String SMOL = "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}";
    static final Message SYSTEM = new Message("system", " Be ");
    static final Message USER = new Message("user", " Hi ");
    static final List<Message> TALK =
        List.of(SYSTEM, USER, new Message("assistant", " Yes "), new Message("user", " Bye "));

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void aChatIsRenderedAsTheModelWasTaught(String family, String jinja, List<Message> chat, String prompt) {
        assertEquals(prompt, of(jinja).render(chat));
    }

    static Stream<Arguments> aChatIsRenderedAsTheModelWasTaught() { return Stream.concat(chatml(), others()); }

    static Stream<Arguments> chatml() {
        var turn = "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n";
        return Stream.of(
            Arguments.of("Qwen's default system prompt", QWEN, List.of(USER), "<|im_start|>system\nYou are Qwen,"
                + " created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n" + turn),
            Arguments.of("ChatML with a newline not escaped", SMOL, List.of(USER),
                "<|im_start|>system\nYou are SmolLM<|im_end|>\n" + turn),
            Arguments.of("ChatML with the user's system prompt", QWEN, TALK,
                "<|im_start|>system\n Be <|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
                    + "<|im_start|>assistant\n Yes <|im_end|>\n<|im_start|>user\n Bye <|im_end|>\n"
                    + "<|im_start|>assistant\n"),
            Arguments.of("ChatML without a default", "{{ '<|im_start|>' + role }}", List.of(USER), turn),
            Arguments.of("Phi 4, which is nearly ChatML", "{{ '<|im_start|>user<|im_sep|>' }}", TALK,
                "<|im_start|>system<|im_sep|> Be <|im_end|><|im_start|>user<|im_sep|> Hi <|im_end|>"
                    + "<|im_start|>assistant<|im_sep|> Yes <|im_end|><|im_start|>user<|im_sep|> Bye <|im_end|>"
                    + "<|im_start|>assistant<|im_sep|>"));
    }

    static Stream<Arguments> others() {
        return Stream.of(
            Arguments.of("Llama 3", "<|start_header_id|>", TALK, llama("Be") + llamaTurns()),
            Arguments.of("Llama 3.1, which tells the day", "<|start_header_id|> Cutting Knowledge Date: ", TALK,
                llama("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe") + llamaTurns()),
            Arguments.of("Llama 3.1 without a system prompt", "<|start_header_id|> Cutting Knowledge Date: ",
                TALK.subList(1, 4),
                llama("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n") + llamaTurns()),
            Arguments.of("Gemma, with the system prompt in the first turn", "<start_of_turn>", TALK,
                "<start_of_turn>user\n Be \n\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n"
                    + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"),
            Arguments.of("Phi 3.5", "'<|system|>\n' '<|end|>\n' '<|assistant|>\n'", TALK,
                "<|system|>\n Be <|end|>\n<|user|>\n Hi <|end|>\n<|assistant|>\n Yes <|end|>\n"
                    + "<|user|>\n Bye <|end|>\n<|assistant|>\n"),
            Arguments.of("Mistral, with the system prompt in the last turn", "[AVAILABLE_TOOLS] \"[INST] \"", TALK,
                "[INST]  Hi [/INST] Yes</s>[INST]  Be \n\n Bye [/INST]"),
            Arguments.of("Mistral Nemo", "[AVAILABLE_TOOLS] \"[INST]\"", TALK,
                "[INST] Hi [/INST] Yes </s>[INST] Be \n\n Bye [/INST]"));
    }

    static String llama(String system) {
        return "<|start_header_id|>system<|end_header_id|>\n\n" + system + "<|eot_id|>";
    }

    static String llamaTurns() {
        return "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|>"
            + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\n";
    }

    @Test void aSystemPromptAloneIsATurnWhereThereIsNoOther() {
        assertEquals("<start_of_turn>user\nBe<end_of_turn>\n<start_of_turn>model\n",
            of("<start_of_turn>").render(List.of(SYSTEM)));
    }

    @Test void aFamilyThatIsNotKnownIsSaidAndNotGuessed() {
        var refusal = assertThrows(IllegalStateException.class, () -> ChatTemplate.of("{{ '<|start_of_role|>' }}"));

        assertEquals("start: the chat template of this model is of no family that is known here (ChatML, Gemma,"
            + " Llama 3, Llama 3.1, Mistral, Phi 3, Phi 4); put llama-server on the PATH, which renders any",
            refusal.getMessage());
    }

    @Test void aModelWithoutATemplateHasNone() { assertEquals(Optional.empty(), ChatTemplate.of("")); }

    @Test void whatJinjaRendersMayDifferByTheBosTokenAndTheDay() {
        var smol = of(SMOL);
        var llama = of("<|start_header_id|> Cutting Knowledge Date: ");

        assertDoesNotThrow(() -> smol.check(TALK, smol.render(TALK)));
        assertDoesNotThrow(() -> smol.check(TALK, "<s>" + smol.render(TALK)));
        assertDoesNotThrow(() -> smol.check(TALK, smol.render(TALK).replaceFirst("<\\|im_start\\|>", "")));
        assertDoesNotThrow(() -> llama.check(TALK, llama.render(TALK).replace("26 Jul 2024", "27 Nov 2026")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"<think>\n", "<|im_start|>user\nOne more turn<|im_end|>\n"})
    void whatJinjaRendersMayNotDifferByMore(String more) {
        var smol = of(SMOL);
        var before = assertThrows(IllegalStateException.class, () -> smol.check(TALK, more + smol.render(TALK)));
        var behind = assertThrows(IllegalStateException.class, () -> smol.check(TALK, smol.render(TALK) + more));

        assertEquals("cannot render chats: the model's template is like ChatML's and yet another", before.getMessage());
        assertEquals(before.getMessage(), behind.getMessage());
    }

    static ChatTemplate of(String jinja) { return ChatTemplate.of(jinja).orElseThrow(); }
}
