"""A limit on thinking: the end of the reasoning is forced where it is used up, and whatever was drafted."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.batching.batch import Batch
from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig, tree_settings
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.constraints.calls import calls_constraint
from mlx_spec.decoding.constraints.thinking import ThinkingLimit
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.manner import manner_of
from mlx_spec.models.text.parts import AnswerParts, Reasoning
from mlx_spec.models.text.reasoning import ReasoningMarks
from mlx_spec.models.text.tool_use import ToolUse
from tests.models.text.control_tokens import specials
from tests.tiny import byte_tokenizer, tiny_llama

VOCAB = 263
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
    "<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}"
    "{# <tool_call> tool_call.name #}"
)
WAYS: list[tuple[DrafterName, int | None, str]] = [("model", 4, "off"), ("ngram", 3, "off"), ("model", 3, "2x2")]
pytestmark = pytest.mark.usefixtures("uncompiled")


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    """A model that opens no tag and hardly ends one, with a prompt that opens it."""
    tokenizer = specials(byte_tokenizer())
    tokenizer.chat_template = TEMPLATE
    target, draft = tiny_llama(0, vocab=VOCAB), tiny_llama(0, vocab=VOCAB)
    other = tiny_llama(1000, vocab=VOCAB)
    draft.lm_head.weight = 0.9 * draft.lm_head.weight + 0.1 * other.lm_head.weight
    mx.eval(draft.parameters())
    return ModelPair(target, draft, tokenizer, "t", "d", "tiny", 2048, VOCAB)


def answered(pair: ModelPair, drafter: DrafterName, lookahead: Any, tree: str, **asked: Any) -> GenerationFinished:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(**tree_settings(tree)), drafter=drafter)
    params = SamplingParams(temperature=asked.pop("temperature"), seed=asked.pop("seed"))
    prompt = pair.encode_chat([{"role": "user", "content": "hello"}])
    *_, last = decoder.stream(prompt, params, asked.pop("max_tokens", 24), lookahead=lookahead, **asked)
    assert isinstance(last, GenerationFinished)
    return last


@pytest.mark.parametrize(("limit", "temperature"), [(0, 0.9), (1, 0.0), (7, 0.9)])
def test_the_end_is_forced_where_the_limit_is_and_ids_are_those_of_plain_decoding(
    pair: ModelPair, limit: int, temperature: float
) -> None:
    end = pair.tokenizer.convert_tokens_to_ids("</think>")
    asked = {"temperature": temperature, "seed": limit, "thinking_tokens": limit}
    plain = answered(pair, "none", None, "off", **asked)
    assert plain.token_ids.index(end) <= limit
    free = answered(pair, "none", None, "off", temperature=temperature, seed=limit)
    assert free.token_ids[:limit] == plain.token_ids[:limit], "until then nothing is forced"
    assert free.token_ids != plain.token_ids
    for way in WAYS:
        assert answered(pair, *way, **asked).token_ids == plain.token_ids, way


def test_a_grammar_begins_behind_the_reasoning_that_was_ended(pair: ModelPair) -> None:
    asked: dict[str, Any] = {"temperature": 0.9, "seed": 3, "thinking_tokens": 5}
    asked |= {"constraint": Constraint.regex("yes|no")}
    plain = answered(pair, "none", None, "off", **asked)
    assert plain.text.partition("</think>")[2] in ("yes", "no")
    assert plain.finish_reason == "stop"
    for way in (*WAYS, ("auto", 5, "off")):
        assert answered(pair, *way, **asked).token_ids == plain.token_ids, way


def test_a_call_that_must_come_comes_with_and_without_drafts(pair: ModelPair) -> None:
    schema = {
        "type": "object",
        "properties": {"at": {"enum": ["here", "there"]}, "n": {"type": "integer", "maximum": 9}},
    }
    tools = ({"type": "function", "function": {"name": "look", "parameters": schema | {"required": ["at"]}}},)
    manner, use = manner_of(pair.tokenizer), ToolUse(tools, "required", is_parallel=False)
    assert manner.calls is not None
    constraint = calls_constraint(use, manner.calls, manner.special, manner.thinking, manner.template)
    asked: dict[str, Any] = {"seed": 3, "thinking_tokens": 5, "constraint": constraint, "max_tokens": 200}
    asked["temperature"] = 0.8
    plain = answered(pair, "none", None, "off", **asked)
    answer = AnswerParts(manner.calls, tools)
    parts = answer.feed(plain.text, ended=True)
    assert isinstance(parts[0], Reasoning)
    assert (answer.num_calls, plain.finish_reason) == (1, "stop"), plain.text
    for way in (WAYS[2], ("auto", 6, "off")):
        assert answered(pair, *way, **asked).token_ids == plain.token_ids, way


def test_among_others_it_is_the_same(pair: ModelPair) -> None:
    asked: dict[str, Any] = {"temperature": 0.9, "seed": 3, "thinking_tokens": 5}
    alone = answered(pair, "none", None, "off", **asked)
    batch = Batch(SpeculativeDecoder(pair, drafter="model"))
    prompt = pair.encode_chat([{"role": "user", "content": "hello"}])
    for name, limit in (("limited", 5), ("free", None)):
        batch.add(name, prompt, SamplingParams(temperature=0.9, seed=3), 24, thinking_tokens=limit)
    ends = {}
    while not batch.is_idle:
        ends |= {name: event for name, event in batch.step() if isinstance(event, GenerationFinished)}
    assert ends["limited"].token_ids == alone.token_ids
    assert ends["free"].token_ids != alone.token_ids


ROWS, WIDTH = 6, 8
MARKS = ReasoningMarks((1,), (2, 3, 2, 4), is_open=True)


def forced(limit: ThinkingLimit, drafted: list[int], rows: int) -> list[int | None]:
    """By row the one token that may come, None where all may."""
    scores = np.array(limit.apply(mx.zeros((rows, WIDTH)), mx.array(drafted, mx.int32) if drafted else None, None))
    return [int(row.argmax()) if np.isinf(row).any() else None for row in scores]


def test_marks_of_several_tokens_are_finished_as_far_as_they_were_said() -> None:
    limit = ThinkingLimit(None, MARKS, 3, WIDTH, is_open=True)
    assert forced(limit, [5, 5, 5, 2, 3], 6) == [None, None, None, 2, 3, 2]
    limit.push([5, 5, 2])
    assert forced(limit, [3, 2], 3) == [3, 2, 4], "what was begun is gone on with"
    limit.push([3, 2, 4])
    assert forced(limit, [5], 2) == [None, None]
    ended = ThinkingLimit(None, MARKS, 9, WIDTH, is_open=True)
    ended.push([2, 3, 2, 3, 2, 4])
    assert forced(ended, [5] * 12, 13) == [None] * 13, "it ended by itself, behind a false start"


def test_reasoning_that_the_model_opens_is_limited_and_an_answer_is_not() -> None:
    opened = ThinkingLimit(None, MARKS, 2, WIDTH, is_open=False)
    assert forced(opened, [1, 5, 5], 4) == [None, None, None, 2]
    answer = ThinkingLimit(None, MARKS, 2, WIDTH, is_open=False)
    answer.push([5, 1])
    assert forced(answer, [5, 5, 5], 4) == [None] * 4


def test_a_bias_that_bans_the_end_does_not_keep_it_from_coming() -> None:
    limit = ThinkingLimit(None, MARKS, 0, WIDTH, is_open=True)
    row = np.array(limit.apply(mx.full((1, WIDTH), -mx.inf), None, None))[0]
    assert row.tolist() == [0.0 if token_id == 2 else -np.inf for token_id in range(WIDTH)]
