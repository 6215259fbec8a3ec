"""What is known of a model's family: how it calls, by mlx-lm's parsers, and how that comes out as text."""

from typing import Any

import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken

from mlx_spec.models.text.manner import manner_of
from mlx_spec.models.text.parts import AnswerParts, Content, ToolArguments, ToolCallBegun
from mlx_spec.models.text.transcript import Transcript
from tests.models.text.templates import TEMPLATES
from tests.tiny import byte_tokenizer

SHOWS_TOOLS = TEMPLATES["as it is"] + "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}"
TOOLS: tuple[Any, ...] = ({"type": "function", "function": {"name": "look"}},)
CALLS = {
    "mistral": ("{# [TOOL_CALLS] #}", ("[TOOL_CALLS]", "[ARGS]"), '[TOOL_CALLS]look[ARGS]{"at": 1}'),
    "gemma4": (
        "{# <|tool_call> <tool_call|> #}",
        ("<|tool_call>", "<tool_call|>", '<|"|>'),
        '<|tool_call>call:look{at:1,on:<|"|>a}b<|"|>}<tool_call|>',
    ),
    "kimi_k2": (
        "{# <|tool_calls_section_begin|> #}",
        tuple(
            f"<|tool_call{name}|>" for name in ("s_section_begin", "s_section_end", "_begin", "_argument_begin", "_end")
        ),
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.look:0<|tool_call_argument_begin|>{"at": 1}'
        "<|tool_call_end|><|tool_calls_section_end|>",
    ),
}


def tokenizer_with(template: str, special: tuple[str, ...]) -> TokenizerWrapper:
    inner = byte_tokenizer()._tokenizer
    inner.backend_tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    inner.chat_template = template
    return TokenizerWrapper(inner)


@pytest.mark.parametrize("kind", CALLS)
def test_calls_between_special_tokens_are_read_and_other_special_tokens_stay_silent(kind: str) -> None:
    note, special, call = CALLS[kind]
    tokenizer = tokenizer_with(SHOWS_TOOLS + note, special)
    calls = manner_of(tokenizer).calls
    assert calls is not None
    assert calls.kind == kind
    transcript = Transcript(tokenizer, frozenset({258}), (), 500, (calls.begin, calls.end))
    transcript.begin([1], goes_on=False)
    for token_id in tokenizer.encode(f"So <|endoftext|>é: {call}", add_special_tokens=False):
        transcript.push(token_id)
    transcript.push(258)
    assert transcript.take_text() == f"So é: {call}"
    parts = AnswerParts(calls, TOOLS, new_id=lambda: "id").feed(transcript.text, ended=True)
    assert parts[0] == Content("So é:")
    assert isinstance(parts[1], ToolCallBegun)
    assert parts[1].name == "look"
    assert isinstance(parts[2], ToolArguments)
    assert '"at": 1' in parts[2].text


def test_no_call_is_read_where_the_template_shows_no_tools() -> None:
    note, special, _ = CALLS["mistral"]
    assert manner_of(tokenizer_with(TEMPLATES["as it is"] + note, special)).calls is None
    assert manner_of(tokenizer_with(SHOWS_TOOLS, ())).calls is None
    assert manner_of(tokenizer_with(SHOWS_TOOLS, ())).takes_tools
    known = tokenizer_with(SHOWS_TOOLS + note, special)
    assert manner_of(known) is manner_of(known)
