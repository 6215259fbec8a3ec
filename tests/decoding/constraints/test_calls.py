"""What a grammar of calls allows, mlx-lm's parser for the family reads, and it is valid by the tool's schema."""

import json
import random
from functools import cache
from importlib import import_module
from typing import Any

import jsonschema
import numpy as np
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken

from mlx_spec.decoding.constraints import calls
from mlx_spec.decoding.constraints.call_writing import WRITERS
from mlx_spec.decoding.constraints.calls import calls_constraint
from mlx_spec.decoding.constraints.compiling import Grammars
from mlx_spec.decoding.constraints.matcher import Matcher
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.errors import GrammarError, ToolsError
from mlx_spec.models.text.parts import AnswerParts, CallFormat, Content, Part, Reasoning, ToolArguments, ToolCallBegun
from mlx_spec.models.text.tool_use import ToolUse
from tests.tiny import byte_tokenizer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
        "place": {
            "type": "object",
            "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 9}, "at": {"type": ["string", "null"]}},
            "required": ["x"],
            "additionalProperties": False,
        },
    },
    "required": ["city", "days"],
    "$defs": {"tag": {"enum": ["a", "b"]}},
}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "", "parameters": SCHEMA}}
FLAT_SCHEMA = SCHEMA | {
    "properties": {name: SCHEMA["properties"][name] for name in ("city", "unit", "days")}
    | {"sure": {"type": ["boolean", "null"]}, "size": {"type": "number", "minimum": 0, "maximum": 9}}
}
FLAT_WEATHER = {"type": "function", "function": WEATHER["function"] | {"parameters": FLAT_SCHEMA}}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
STRICT = {"type": "function", "function": WEATHER["function"] | {"strict": True}}
SPECIAL = (
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    *(f"<|tool_call{name}|>" for name in ("s_section_begin", "s_section_end", "_begin", "_argument_begin")),
    *("<|tool_call>", "<tool_call|>", '<|"|>'),
    *("<|open|>", "<|close|>", "<|sep|>"),
)
THINKING = ("<think>", "</think>")
# Where mlx-lm's parser finds no name in a call without arguments.
NEEDS_ARGUMENTS = {"longcat"}
# Whose calls hold no lists and no objects.
FLAT = {"function_gemma"}
CLOSES = {
    "function_gemma": "<escape>",
    "gemma4": '<|"|>',
    "glm47": "</arg_value>\n",
    "laguna": "</arg_value>\n",
    "longcat": "</longcat_arg_value>\n",
    "qwen3_coder": "\n</parameter>\n",
    "minimax_m2": "</parameter>\n",
    "minicpm5": "</param>",
}


@cache
def tokenizer() -> TokenizerWrapper:
    inner = byte_tokenizer()._tokenizer
    inner.backend_tokenizer.add_special_tokens([AddedToken(name, special=True) for name in dict.fromkeys(SPECIAL)])
    return TokenizerWrapper(inner)


def special() -> dict[str, int]:
    return {name: tokenizer().convert_tokens_to_ids(name) for name in SPECIAL}


def format_of(kind: str) -> CallFormat:
    module = import_module(f"mlx_lm.tool_parsers.{kind}")
    return CallFormat(module.tool_call_start, module.tool_call_end, module.parse_tool_call, kind)


def matcher_of(use: ToolUse, kind: str, template: str = "", thinking: tuple[str, str] | None = THINKING) -> Matcher:
    constraint = calls_constraint(use, format_of(kind), special(), thinking, template)
    assert constraint is not None
    return Matcher(Grammars().compiled(constraint, tokenizer(), len(tokenizer())))


def said_by(matcher: Matcher, chance: random.Random, close: str) -> str:
    """What somebody says who chooses at random, and soon ends a text with `close`."""
    said: list[int] = []
    end, closing = tokenizer().eos_token_id, tokenizer().encode(close, add_special_tokens=False)
    for _ in range(5000):
        mask = matcher.mask(())
        assert mask is not None
        allowed = np.flatnonzero(mask).tolist()
        if end in allowed and (len(allowed) == 1 or chance.random() < 0.5):
            return text_of(said)
        words = [token_id for token_id in allowed if token_id != end]
        plain = [token_id for token_id in words if text_of([token_id]).isalnum()]
        if chance.random() < 0.5 and matcher.allowed(closing) == len(closing):
            chosen = closing
        else:
            chosen = [chance.choice(plain or words)]
        said += chosen
        matcher.push(chosen)
    raise AssertionError(f"no end: {text_of(said)[:300]}")


@cache
def names() -> dict[int, str]:
    return {token_id: name for name, token_id in special().items()}


def text_of(token_ids: list[int]) -> str:
    return "".join(names().get(token_id) or tokenizer().decode([token_id]) for token_id in token_ids)


def calls_in(parts: list[Part]) -> list[tuple[str, Any]]:
    told: list[tuple[str, str]] = []
    for part in parts:
        match part:
            case ToolCallBegun():
                told.append((part.name, ""))
            case ToolArguments():
                told[-1] = (told[-1][0], told[-1][1] + part.text)
    return [(name, json.loads(arguments)) for name, arguments in told]


KINDS = [*((kind, "") for kind in sorted(WRITERS)), ("mistral", "{{ '[ARGS]' }}"), ("mistral", "[CALL_ID][ARGS]")]


@pytest.mark.parametrize(("kind", "template"), KINDS)
def test_every_call_that_the_grammar_allows_is_read_and_valid(
    kind: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_CALLS", 3)
    weather, expected = (FLAT_WEATHER, FLAT_SCHEMA) if kind in FLAT else (WEATHER, SCHEMA)
    tools = (weather,) if kind in NEEDS_ARGUMENTS else (weather, NOW)
    for seed in range(2):
        matcher = matcher_of(ToolUse(tools, "required"), kind, template, None)
        text = said_by(matcher, random.Random(seed), CLOSES.get(kind, '"'))
        answer = AnswerParts(format_of(kind), tools)
        parts = answer.feed(text, ended=True)
        assert not any(isinstance(part, Content) for part in parts), (text, parts)
        for name, arguments in calls_in(parts):
            schema = expected if name == "weather" else {"type": "object", "maxProperties": 0}
            jsonschema.validate(arguments, schema)
        assert answer.num_calls >= 1, text


def follows(matcher: Matcher, text: str) -> bool:
    """Whether an answer may be this text."""
    token_ids = tokenizer().encode(text, add_special_tokens=False)
    return matcher.allowed([*token_ids, tokenizer().eos_token_id]) == len(token_ids) + 1


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "X", "days": 2}}\n</tool_call>'


def test_a_call_that_is_named_is_the_only_one_and_reasoning_may_stand_before_it() -> None:
    use = ToolUse((WEATHER, NOW), "required", frozenset({"weather"}), is_parallel=False)
    assert follows(matcher_of(use, "json_tools"), CALL)
    assert follows(matcher_of(use, "json_tools"), f"<think>\nhm </thin\n</think>\n\n{CALL}")
    assert not follows(matcher_of(use, "json_tools"), f"Well. {CALL}")
    assert not follows(matcher_of(use, "json_tools"), CALL.replace("weather", "now"))
    assert not follows(matcher_of(use, "json_tools"), CALL.replace("2", '"2"'))
    assert not follows(matcher_of(use, "json_tools"), CALL.replace("2", '2, "more": 1'))
    assert not follows(matcher_of(use, "json_tools"), f"{CALL}\n{CALL}")
    assert follows(matcher_of(ToolUse((WEATHER,), "required"), "json_tools"), f"{CALL}\n{CALL}")


def test_a_strict_tool_may_be_left_alone_but_is_called_by_its_schema() -> None:
    use = ToolUse((STRICT, NOW))
    assert follows(matcher_of(use, "json_tools"), "It is <sunny>.")
    assert follows(matcher_of(use, "json_tools"), f"Let me see. {CALL}")
    assert not follows(matcher_of(use, "json_tools"), CALL.replace("2", '"2"'))
    other = '<tool_call>\n{"name": "now", "arguments": {"any": [1]}}\n</tool_call>'
    assert follows(matcher_of(use, "json_tools"), other)
    spoken = matcher_of(use, "mistral", "[ARGS]")
    assert follows(spoken, "It is sunny.")
    assert follows(spoken, 'So: [TOOL_CALLS]weather[ARGS]{"city": "X", "days": 2}')


def test_where_nothing_is_strict_nothing_is_forced_and_an_unknown_family_is_told() -> None:
    assert calls_constraint(ToolUse((WEATHER,)), format_of("json_tools"), {}, None) is None
    assert calls_constraint(ToolUse((STRICT,), "none"), format_of("json_tools"), {}, None) is None
    other = CallFormat("<c>", "</c>", lambda text, tools: [], "another")
    with pytest.raises(ToolsError, match="another"):
        calls_constraint(ToolUse((WEATHER,), "required"), other, {}, None)


def test_where_the_answer_must_look_like_something_it_may_call_instead() -> None:
    answer = Constraint.json_schema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    constraint = calls_constraint(ToolUse((WEATHER,)), format_of("json_tools"), special(), THINKING, "", answer)
    assert constraint is not None
    grammar = Grammars().compiled(constraint, tokenizer(), len(tokenizer()))
    assert follows(Matcher(grammar), '{"a": 1}')
    assert follows(Matcher(grammar), CALL)
    assert not follows(Matcher(grammar), "It is sunny.")
    assert not follows(Matcher(grammar), f"Well. {CALL}")
    expression = Constraint.regex("yes|no")
    constraint = calls_constraint(ToolUse((WEATHER,)), format_of("json_tools"), special(), THINKING, "", expression)
    assert constraint is not None
    grammar = Grammars().compiled(constraint, tokenizer(), len(tokenizer()))
    assert follows(Matcher(grammar), "yes")


def test_what_a_family_cannot_write_is_told() -> None:
    with pytest.raises(ToolsError, match="numbers, true, false and null alone"):
        matcher_of(ToolUse((WEATHER,), "required"), "function_gemma")
    named = {"type": "function", "function": NOW["function"] | {"name": "right-now"}}
    with pytest.raises(ToolsError, match="cannot call right-now"):
        matcher_of(ToolUse((named,), "required"), "function_gemma")


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


BAD: list[tuple[Any, str]] = [
    ({"properties": [1]}, "schema of the tool"),
    ({"properties": {"a": {}}, "required": 5}, "schema of the tool"),
    ({"properties": {"a": deep(5000)}}, "cannot be read"),
    ({"properties": {"a": {"$ref": "https://example.org/a.json"}}}, "none is fetched"),
    ({"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}, "look-around"),
    ({"properties": {"a": {"uniqueItems": True, "type": "array"}}}, "uniqueItems"),
    ({"properties": {f"p{i}": {} for i in range(1001)}}, "1,001 properties"),
    ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "ever ends"),
    ({"properties": {"a": {"enum": []}}, "required": ["a"]}, "schema of the tool"),
]


@pytest.mark.parametrize("kind", ["json_tools", "pythonic"])
@pytest.mark.parametrize(("schema", "part"), BAD)
def test_a_schema_that_cannot_be_followed_is_refused_in_a_sentence(kind: str, schema: Any, part: str) -> None:
    tool = {"type": "function", "function": {"name": "bad", "parameters": schema}}
    with pytest.raises(GrammarError, match=part) as refused:
        matcher_of(ToolUse((tool,), "required"), kind)
    assert refused.value.field == "tools"
    assert len(str(refused.value)) < 500


def test_thinking_of_a_family_is_reasoning() -> None:
    parts = AnswerParts(format_of("json_tools"), (WEATHER,)).feed(f"<think>hm</think>\n\n{CALL}", ended=True)
    assert parts[0] == Reasoning("hm")
    assert calls_in(parts) == [("weather", {"city": "X", "days": 2})]
