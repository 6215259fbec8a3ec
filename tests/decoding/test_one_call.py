"""An answer that may make one call ends behind it, whatever drafted it, and wherever its rounds are cut."""

import re
from dataclasses import replace

import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.config import DrafterName, SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from tests.models.text.templates import TEMPLATES
from tests.tiny import tiny_pair

CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "<tool_call>"}}\n</tool_call>'
TOOLS = ({"type": "function", "function": {"name": "look"}},)
SHOWS_TOOLS = "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}{# <tool_call> tool_call.name #}"


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    found = tiny_pair()
    inner = found.tokenizer._tokenizer
    inner.chat_template = TEMPLATES["as it is"] + SHOWS_TOOLS
    return replace(found, tokenizer=TokenizerWrapper(inner))


def said(pair: ModelPair, text: str, *, is_limited: bool = True, drafter: DrafterName = "auto") -> GenerationFinished:
    """What comes of a model that can say only `text`."""
    forced = Constraint.regex(re.escape(text))
    tools = TOOLS if is_limited else ()
    events = SpeculativeDecoder(pair).stream(
        pair.encode("hi"), SamplingParams(), 400, constraint=forced, one_call_of=tools, drafter=drafter
    )
    *_, end = events
    assert isinstance(end, GenerationFinished)
    return end


@pytest.mark.parametrize("drafter", ["none", "model", "grammar"])
def test_nothing_is_written_behind_the_first_call(pair: ModelPair, drafter: DrafterName) -> None:
    whole = f"I look. {CALL}\n{CALL} done"
    end = said(pair, whole, drafter=drafter)
    assert (end.text, end.finish_reason) == (f"I look. {CALL}", "stop")
    assert len(end.token_ids) == len(end.text), "a token a byte: none is counted that was not told"
    assert said(pair, whole, is_limited=False, drafter=drafter).text == whole


@pytest.mark.parametrize("text", [f"<think>\n{CALL}\n</think>\n\nNo.", "<tool_call>\nnot a call\n</tool_call> So."])
def test_what_is_no_call_ends_nothing(pair: ModelPair, text: str) -> None:
    assert said(pair, text).text == text
