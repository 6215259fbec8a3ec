"""What somebody wrote stays text in a conversation, and every template gets it in the shape that it reads."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.errors import PromptError
from mlx_spec.models.loading import load_pair
from mlx_spec.models.text.chat import chat_of
from mlx_spec.models.text.placing import MOVED_SYSTEM
from tests.models.text.control_tokens import EVIL, control_ids, conversation, specials, with_template
from tests.models.text.templates import TEMPLATES
from tests.tiny import byte_tokenizer
from tests.two_tokenizers import byte_level, llama_like, unigram_like

PRIVATE = "\U0010fffd\U000ffff00\U000ffff1"
ORDINARY = [
    "Why is the sky blue?",
    " two  spaces, and\na line ",
    "naïve 你好 🙂 </b> if a<b and b>c: [x] <|not a token|>",
    '{"a": "\\u00e9"}',
]


KINDS = {
    "bytes": byte_tokenizer,
    "merges over bytes": byte_level.__wrapped__,
    "merges with spaces": llama_like.__wrapped__,
    "pieces": unigram_like.__wrapped__,
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> TokenizerWrapper:
    return specials(KINDS[request.param]())


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_of_ordinary_texts_are_those_of_the_rendering(tokenizer: TokenizerWrapper, name: str) -> None:
    chat = with_template(tokenizer, TEMPLATES[name])
    for text in ORDINARY:
        messages = conversation("x", text, text)
        shaped = [chat._shaped(message) for message in messages]
        rendered = tokenizer.apply_chat_template(shaped, tokenize=False, add_generation_prompt=True)
        assert chat.encode(messages) == tokenizer.encode(rendered, add_special_tokens=False)
        assert "JSON" in name or text.strip().split("\n")[0][:3] in rendered, "the content is there"


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_somebody_wrote_is_never_a_control_token(tokenizer: TokenizerWrapper, name: str) -> None:
    chat = with_template(tokenizer, TEMPLATES[name])
    neutral = EVIL.replace("<|", "<!").replace("|>", "!>")
    guarded = chat.encode(conversation(EVIL, EVIL, EVIL))
    expected = chat.encode(conversation(neutral, neutral, neutral))
    assert control_ids(tokenizer, guarded) == control_ids(tokenizer, expected)
    shown = tokenizer.decode(guarded, clean_up_tokenization_spaces=False)
    assert shown.replace("<!", "<|").replace("!>", "|>") == tokenizer.decode(
        expected, clean_up_tokenization_spaces=False
    ).replace("<!", "<|").replace("!>", "|>"), "and it is all there"


def test_the_named_content_is_plain_text() -> None:
    tokenizer = specials(byte_tokenizer())
    chat = with_template(tokenizer, TEMPLATES["as it is"])
    ids = chat.encode([{"role": "user", "content": EVIL}])
    assert control_ids(tokenizer, ids) == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]
    assert tokenizer.decode(ids) == f"<|im_start|>user\n{EVIL}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("around", ["{}", "<{}", "{}>", "<|im_<|im_end|>{}", "{}{}", PRIVATE + "{}"])
def test_no_spelling_gets_around_it(tokenizer: TokenizerWrapper, around: str) -> None:
    chat = with_template(tokenizer, TEMPLATES["as it is"])
    for name in ("<|im_end|>", "<|im_start|>", "[INST]", tokenizer.eos_token):
        ids = chat.encode([{"role": "user", "content": around.replace("{}", name)}])
        assert control_ids(tokenizer, ids) == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]


def test_thinking_that_a_person_writes_is_text_and_what_the_model_thought_is_not(tokenizer: TokenizerWrapper) -> None:
    chat = with_template(tokenizer, TEMPLATES["without reasoning"])
    think_ids = set(tokenizer.convert_tokens_to_ids(["<think>", "</think>"]))
    asked = chat.encode(conversation("what is </think> for?"))
    assert not think_ids & set(asked)
    told = chat.encode(conversation("x", "<think>hm</think>\nyes", "y"))
    assert told == chat.encode(conversation("x", "yes", "y")), "the template looks for the reasoning itself"


def test_without_a_template_a_text_is_text_too(tokenizer: TokenizerWrapper) -> None:
    chat = with_template(tokenizer, None)
    assert chat.encode(conversation("a", "b")) == tokenizer.encode("a\n\nb")
    bos = control_ids(tokenizer, tokenizer.encode("a"))
    assert control_ids(tokenizer, chat.encode(conversation(EVIL))) == bos


def test_a_begun_answer_is_text_too(tokenizer: TokenizerWrapper) -> None:
    chat = with_template(tokenizer, TEMPLATES["as it is"])
    prompt = chat.encode(conversation("x"))
    whole = chat.render(conversation("x")) + "so far"
    assert chat.encode(conversation("x", "so far"), continues=True) == tokenizer.encode(whole, add_special_tokens=False)
    begun = chat.encode(conversation("x", EVIL), continues=True)
    assert begun[: len(prompt)] == prompt
    assert control_ids(tokenizer, begun[len(prompt) :]) == []


def test_a_completion_means_what_it_says(folder: Path) -> None:
    pair = load_pair(str(folder))
    assert 2 in pair.encode("the <|im_end|>")
    assert pair.encode_chat([{"role": "user", "content": "<|im_end|>"}]).count(2) == 1


REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATES["as it is"]
)
IGNORES = TEMPLATES["inst"].replace("{% else %}", "{% elif message.role == 'assistant' %}")


@pytest.mark.parametrize("template", [REFUSES, IGNORES])
def test_a_system_message_without_a_place_stands_before_the_first_question_and_that_is_told(template: str) -> None:
    tokenizer = specials(byte_tokenizer())
    chat = with_template(tokenizer, template)
    messages = [{"role": "system", "content": "Be brief."}, *conversation("Why?", "So.", "And?")]
    assert chat.encode(messages) == chat.encode(conversation("Be brief.\n\nWhy?", "So.", "And?"))
    assert chat.note(messages) == MOVED_SYSTEM
    assert chat.note(messages[1:]) is None
    assert with_template(tokenizer, TEMPLATES["as it is"]).note(messages) is None
    assert with_template(tokenizer, TEMPLATES["system into the question"]).note(messages) is None
    assert with_template(tokenizer, TEMPLATES["parts only"]).note(messages) is None


def test_a_template_is_asked_for_parts_by_every_thread_that_does_not_know_yet() -> None:
    """As when a conversation is counted on one thread while the engine's writes it on another."""
    tokenizer = specials(byte_tokenizer())
    chat = with_template(tokenizer, TEMPLATES["parts only"])
    expected = with_template(tokenizer, TEMPLATES["parts only"]).render(conversation("Why?"))
    meanwhile: list[str] = []
    says = chat._says

    def asked_meanwhile(messages: list[dict[str, Any]]) -> bool:
        chat._says = says  # type: ignore[method-assign]
        meanwhile.append(chat.render(conversation("Why?")))
        return says(messages)

    chat._says = asked_meanwhile  # type: ignore[method-assign]
    assert chat.render(conversation("Why?")) == expected
    assert meanwhile == [expected]
    assert "Why?" in expected


@pytest.mark.parametrize(
    "template",
    ["{{ 1 / 0 }}", "{{ messages[7].content }}", "{{ messages.nothing.here }}", "{% for %}", "{{ 1 + 'a' }}"],
)
def test_whatever_a_template_raises_is_told_in_one_sentence(folder: Path, template: str) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    with pytest.raises(PromptError, match="chat template refuses these messages"):
        load_pair(str(folder)).encode_chat(conversation("x"))


def template_config(folder: Path, template: object) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_a_template_may_lie_beside_the_tokenizer(folder: Path) -> None:
    template_config(folder, None)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "<<{{ messages[0].content }}>>"}))
    pair = load_pair(str(folder))
    assert pair.decode(pair.encode_chat(conversation("x"))) == "<<x>>"


def test_an_empty_template_is_none(folder: Path) -> None:
    template_config(folder, "")
    pair = load_pair(str(folder))
    assert pair.encode_chat(conversation("a", "b")) == pair.encode("a\n\nb")


@pytest.mark.parametrize(
    "templates",
    [
        [{"name": "tool_use", "template": "tools"}, {"name": "chat", "template": "<<{{ messages[0].content }}>>"}],
        [{"name": "rag", "template": "rag"}, {"name": "default", "template": "<<{{ messages[0].content }}>>"}],
    ],
)
def test_of_several_templates_the_one_to_talk_by_is_taken(folder: Path, templates: list[dict[str, str]]) -> None:
    template_config(folder, templates)
    pair = load_pair(str(folder))
    assert pair.decode(pair.encode_chat(conversation("x"))) == "<<x>>"


def test_a_template_may_name_additional_special_tokens(folder: Path) -> None:
    template_config(folder, "{{ additional_special_tokens[0] }}{{ messages[0].content }}")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"additional_special_tokens": ["<|im_start|>"]}))
    pair = load_pair(str(folder))
    assert pair.decode(pair.encode_chat(conversation("x"))) == "<|im_start|>x"


def test_a_tokenizer_has_one_chat() -> None:
    tokenizer = byte_tokenizer()
    assert chat_of(tokenizer) is chat_of(tokenizer)


def test_a_tokenizer_that_nobody_holds_is_let_go_with_its_chat() -> None:
    tokenizer = specials(byte_tokenizer())
    tokenizer.chat_template = TEMPLATES["as it is"]
    chat_of(tokenizer).encode(conversation(EVIL))
    held = [weakref.ref(one) for one in (tokenizer, chat_of(tokenizer), chat_of(tokenizer)._control)]
    del tokenizer
    gc.collect()
    assert [one() for one in held] == [None, None, None]


ZEPHYR = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.mark.parametrize(("template", "space"), [(ZEPHYR, ""), (TEMPLATES["inst"], " ")])
def test_a_begun_answer_has_the_space_that_its_template_gives_it(template: str, space: str) -> None:
    tokenizer = specials(llama_like.__wrapped__())
    chat = with_template(tokenizer, template)
    prompt, begun = chat.encode(conversation("x")), chat.encode(conversation("x", "the river"), continues=True)
    assert begun[: len(prompt)] == prompt
    said = "".join(tokenizer.convert_ids_to_tokens(begun[len(prompt) :])).replace("▁", " ")
    assert said == f"{space}the river"


FRAGMENTS = (
    "<|im_end|>",
    "<|im_start|>",
    "<|im_",
    "end|>",
    "<",
    "|",
    ">",
    "[INST]",
    "</think>",
    " ",
    "\n",
    "é",
    "▁",
    "a",
)


@settings(max_examples=150)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8), st.lists(st.sampled_from(FRAGMENTS), max_size=8))
def test_no_joining_of_pieces_makes_a_control_token(
    tokenizer: TokenizerWrapper, one: list[str], other: list[str]
) -> None:
    chat = with_template(tokenizer, TEMPLATES["as it is"])
    texts = "".join(one), "".join(other)
    ids = chat.encode(conversation("x", *texts))
    assert control_ids(tokenizer, ids) == [*["<|im_start|>", "<|im_end|>"] * 3, "<|im_start|>"]
    shown = letters(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    assert all(letters(text) in shown for text in texts)


def letters(text: str) -> str:
    """Without spaces: sentencepiece puts one behind every added token."""
    return text.replace("▁", "").replace(" ", "")
