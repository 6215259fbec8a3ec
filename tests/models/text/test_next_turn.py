"""What every next turn begins with, whatever the template makes of a conversation that goes on."""

from typing import Any

import mlx.nn as nn
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.errors import PromptError
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.next_turn import next_beginning, opening
from tests.models.text.control_tokens import EVIL, conversation, specials
from tests.models.text.templates import TEMPLATES
from tests.models.text.test_chat import KINDS
from tests.tiny import pair_of

ASKED = conversation("Why is the sky blue?", "Because.", "And the sea?")
REPLIES = ["So is the sea.", "\n\n The same. \n", "<think>\nhm\n</think>\n\nThe same.", EVIL, ""]
QUESTIONS = ["Why?", "\n\nAnd then?", "  spaces", "東京は？", EVIL, "1"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> TokenizerWrapper:
    return specials(KINDS[request.param]())


def pair_with(tokenizer: TokenizerWrapper, template: str | None) -> ModelPair:
    wrapped = TokenizerWrapper(tokenizer._tokenizer)
    wrapped.chat_template = template
    made = pair_of(nn.Module(), None)
    return ModelPair(**{name: getattr(made, name) for name in made.__slots__} | {"tokenizer": wrapped})


def shared(one: list[int], other: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_next_prompt_begins_with_it(tokenizer: TokenizerWrapper, name: str) -> None:
    pair = pair_with(tokenizer, TEMPLATES[name])
    for reply in REPLIES:
        begins = pair.encode_next(ASKED, reply)
        for question in QUESTIONS:
            said = [*ASKED, {"role": "assistant", "content": reply}, {"role": "user", "content": question}]
            prompt = pair.encode_chat(said)
            # What a question begins with may become one token with what stands before it: then that one is another.
            assert shared(prompt, begins) >= len(begins) - 2


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_is_not_shorter_than_what_next_prompts_share(tokenizer: TokenizerWrapper, name: str) -> None:
    pair = pair_with(tokenizer, TEMPLATES[name])
    said = [*ASKED, {"role": "assistant", "content": REPLIES[1]}]
    prompts = [pair.encode_chat([*said, {"role": "user", "content": question}]) for question in ("b", "Z")]
    assert len(pair.encode_next(ASKED, REPLIES[1])) >= shared(*prompts) - 1


def test_without_a_template_the_texts_are_what_is_shared() -> None:
    pair = pair_with(specials(KINDS["bytes"]()), None)
    assert pair.decode(pair.encode_next(ASKED[:1], "So.")) == "Why is the sky blue?\n\nSo.\n\n"


def test_where_nothing_may_follow_it_is_the_prompt_itself() -> None:
    once = "{% if messages | length > 1 %}{{ raise_exception('one question only') }}{% endif %}" + TEMPLATES["as it is"]
    pair = pair_with(specials(KINDS["bytes"]()), once)
    assert pair.encode_next(ASKED[:1], "So.") == pair.encode_chat(ASKED[:1])
    with pytest.raises(PromptError, match="one question only"):
        pair.encode_next(ASKED, "So.")


def test_what_is_reordered_shares_what_stands_before() -> None:
    newest_first = "<|im_start|>" + "{% for message in messages | reverse %}[{{ message.content }}]{% endfor %}"
    pair = pair_with(specials(KINDS["bytes"]()), newest_first)
    assert pair.decode(pair.encode_next(ASKED, "So.")) == "<|im_start|>["


def test_calls_of_tools_are_written_as_in_a_prompt() -> None:
    pair = pair_with(specials(KINDS["bytes"]()), TEMPLATES["as it is"])
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "sea"}}}
    asked: list[dict[str, Any]] = [
        ASKED[0],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "blue", "name": "look"},
    ]
    begins = pair.decode(pair.encode_next(asked, "It is blue."))
    assert begins.endswith(
        "Result of look:\nblue<|im_end|>\n<|im_start|>assistant\nIt is blue.<|im_end|>\n<|im_start|>user\n"
    )


def test_an_opening_is_what_chats_with_one_system_prompt_share() -> None:
    pair = pair_with(specials(KINDS["bytes"]()), TEMPLATES["as it is"])
    system = {"role": "system", "content": "Be kind."}
    assert pair.decode(pair.encode_opening([system, *ASKED])) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
    )
    assert pair.encode_opening(ASKED) == []


def test_a_plain_opening_is_what_the_template_says_by_itself() -> None:
    pair = pair_with(specials(KINDS["bytes"]()), "<|im_start|>Be kind.\n" + TEMPLATES["as it is"])
    assert pair.decode(pair.encode_plain_opening()) == "<|im_start|>Be kind.\n<|im_start|>user\n"


@pytest.mark.parametrize("template", [None, "{{ strftime_now('%Y') }}" + TEMPLATES["as it is"], TEMPLATES["date"]])
def test_what_changes_by_the_day_is_no_plain_opening(template: str | None) -> None:
    assert pair_with(specials(KINDS["bytes"]()), template).encode_plain_opening() == []


def test_two_questions_are_enough_to_tell() -> None:
    asked: list[str] = []

    def encode(messages: Any) -> list[int]:
        asked.append(str(messages[-1]["content"]))
        return [len(messages), *map(ord, asked[-1])]

    assert next_beginning(encode, [{"role": "user", "content": "a"}], "b") == [3]
    assert opening(encode, [{"role": "system", "content": "a"}]) == [2]
    assert len(asked) == 4
    assert len(set(asked)) == 2
