"""What a grammar allows and forces, token by token, by an independent judge; and that a look leaves no trace."""

import json
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import regex
from llguidance import LLParserLimits

from mlx_spec.decoding.constraints import compiling
from mlx_spec.decoding.constraints.compiling import GRAMMARS, Grammars
from mlx_spec.decoding.constraints.endings import never_ends
from mlx_spec.decoding.constraints.following import matcher_of
from mlx_spec.decoding.constraints.matcher import Matcher
from mlx_spec.decoding.constraints.wanted import Constraint, styled
from mlx_spec.errors import GrammarError
from mlx_spec.models.text.vocabulary import vocabulary_of
from tests.decoding.constraints.shapes import thing
from tests.tiny import TINY_VOCAB, byte_tokenizer, pair_of, tiny_llama
from tests.two_tokenizers import byte_level, llama_like

BYTES = byte_tokenizer()
END = BYTES.eos_token_id
PATTERN = "(the|them|the words)( are)? (blue|quick)"


def matcher(constraint: Constraint, tokenizer: Any = BYTES, width: int | None = None, **how: Any) -> Matcher:
    """A new one, at its beginning."""
    return Matcher(GRAMMARS.compiled(constraint, tokenizer, width or len(tokenizer.get_vocab())), **how)


def ids(text: str) -> tuple[int, ...]:
    """Of the byte tokenizer."""
    return tuple(BYTES.encode(text, add_special_tokens=False))


def allowed_by_judge(spelled: dict[int, bytes], text: bytes) -> set[int]:
    """All tokens that can go on `text` in the language of the pattern."""
    pattern = regex.compile(PATTERN.encode())
    return {token_id for token_id, piece in spelled.items() if piece and pattern.fullmatch(text + piece, partial=True)}


@pytest.mark.parametrize("tokenizer", [byte_level(), llama_like()])
def test_masks_are_what_an_independent_judge_allows(tokenizer: Any) -> None:
    width = len(tokenizer.get_vocab()) + 5  # rows of a matrix that is padded
    spelled = vocabulary_of(tokenizer, "any", width).spelled()
    rng = np.random.default_rng(1)
    for _ in range(3):
        following, text = matcher(Constraint.regex(PATTERN), tokenizer, width), b""
        while True:
            mask = following.mask()
            assert mask is not None
            expected = allowed_by_judge(spelled, text)
            complete = regex.fullmatch(PATTERN.encode(), text) is not None
            found = set(np.nonzero(mask)[0].tolist())
            assert (tokenizer.eos_token_id in found) == complete
            if not expected:
                break
            words = found - {tokenizer.eos_token_id}
            # Where the text is forced, llguidance allows the usual token of it alone.
            assert words == expected or (words < expected and words == {following.forced()[0]})
            token_id = int(rng.choice(sorted(words)))
            following.push([token_id])
            text += spelled[token_id]
        assert complete
        assert following.forced() == [tokenizer.eos_token_id]


def test_a_look_ahead_leaves_no_trace() -> None:
    looked, plain = (matcher(Constraint.regex("ab(c|d)+e")) for _ in range(2))
    for token_id in ids("abccde"):
        for path in ("", "ab", "abc", "x", "cd", "ccx", "ce"):
            looked.mask(ids(path))
            looked.forced(ids(path))
            looked.allowed((*ids(path), END, 5))
        assert np.array_equal(looked.mask(), plain.mask())
        looked.push([token_id])
        plain.push([token_id])
    assert looked.forced() == plain.forced() == [END]


def test_rows_come_after_their_drafts_in_chains_and_trees() -> None:
    following = matcher(Constraint.regex("a(bc|de)"), width=TINY_VOCAB)

    def open_at(rows: mx.array) -> list[str]:
        found = np.array(rows) > -np.inf
        return [
            "any" if row.all() else "".join("$" if i == END else BYTES.decode([i]) for i in np.nonzero(row)[0])
            for row in found
        ]

    rows = mx.zeros((4, TINY_VOCAB))
    assert open_at(following.apply(rows, mx.array(ids("abx")), None)) == ["a", "bd", "c", "any"]
    assert open_at(following.apply(rows, mx.array(ids("abc")), None)) == ["a", "bd", "c", "$"]
    assert open_at(following.apply(rows[:1], mx.array(ids("ad")), None)) == ["e"]
    # a, and behind it b and d
    seen = mx.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=mx.bool_)
    assert open_at(following.apply(rows, mx.array(ids("abd")), seen)) == ["a", "bd", "c", "e"]
    assert open_at(following.apply(rows[:1], None, None)) == ["a"]
    # A draft that knows none of the allowed words keeps a distribution.
    none = mx.where(mx.arange(TINY_VOCAB) == ids("a")[0], -mx.inf, 0.0)[None]
    assert np.array_equal(np.array(following.apply(none, None, None)), np.array(none))


def test_what_is_forced_is_written_as_usual_and_ends_where_there_is_a_choice() -> None:
    tokenizer = byte_level()
    schema = {"type": "object", "properties": {"the words": {"type": "boolean"}}, "required": ["the words"]}
    following = matcher(Constraint.json_schema(schema | {"additionalProperties": False}), tokenizer)
    usual = tokenizer.encode('{"the words": ', add_special_tokens=False)
    assert following.forced() == usual[:-1]  # the blank begins the next word, as in " true"
    assert following.forced(tuple(usual[:2])) == usual[2:-1]
    following.push(usual)
    assert following.forced() == []  # true or false
    true = tokenizer.encode("true", add_special_tokens=False)
    assert following.forced(tuple(true)) == [*tokenizer.encode("}", add_special_tokens=False), tokenizer.eos_token_id]
    compact = matcher(Constraint.json_schema(schema, spacing="compact"), tokenizer)
    assert compact.forced() == tokenizer.encode('{"the words":', add_special_tokens=False)
    free = matcher(Constraint.json_schema(schema, spacing="free"), tokenizer)
    assert free.forced() == tokenizer.encode("{", add_special_tokens=False)


def test_the_grammar_begins_behind_what_is_thought() -> None:
    following = matcher(Constraint.regex("yes|no"), behind=ids("</t>"))
    assert following.mask() is not None
    assert list(np.nonzero(~following.mask())[0]) == [END]
    assert set(np.nonzero(following.mask(ids("hm</t>")))[0]) == {*ids("y"), *ids("n")}
    assert following.mask(ids("</t>z")) is None
    following.push(ids("hm, no </t"))
    assert following.allowed((*ids(">yes"), END)) == 5
    assert following.forced(ids(">y")) == [*ids("es"), END]
    following.push(ids(">ye"))
    assert following.forced() == [*ids("s"), END]


def test_a_prompt_that_opens_the_reasoning_leaves_it_free() -> None:
    pair = pair_of(tiny_llama(0), None)
    for prompt, goes_on, first in (("so <think>\n", False, 258), ("so <think>", True, 1), ("so", False, 1)):
        following = matcher_of(pair, Constraint.regex("yes"), pair.encode(prompt), goes_on=goes_on)
        assert following is not None
        mask = following.mask()
        assert mask is not None
        assert mask.sum() == first
        behind = following.mask(ids("hm</think>")) if first > 1 else mask
        assert behind is not None
        assert list(np.nonzero(behind)[0]) == list(ids("y"))


def test_a_token_that_the_grammar_refuses_and_one_that_nothing_is_left_of_are_told() -> None:
    with pytest.raises(GrammarError, match="not of the grammar"):
        matcher(Constraint.regex("ab")).push(ids("ax"))
    with pytest.raises(GrammarError, match="no token that may come next"):
        matcher(Constraint.regex("[ab]"), banned=ids("ab")).mask()
    assert matcher(Constraint.regex("[ab]"), banned=ids("b")).allowed(ids("a")) == 1
    over = matcher(Constraint.regex("ab"))
    over.push([*ids("ab"), END, 7, 7])
    assert over.mask() is None
    assert over.forced() == []


def test_a_failure_on_the_way_names_what_asked_for_the_grammar() -> None:
    with pytest.raises(GrammarError) as refused:
        matcher(Constraint.regex("[ab]"), banned=ids("ab")).mask()
    assert refused.value.field == "regex"


def followed(following: Matcher, token_id: int) -> int:
    """How many of one token a grammar follows, at most 100."""
    for count in range(100):
        try:
            following.push([token_id])
            assert following.mask() is not None
        except GrammarError as error:
            return count if "it leaves too many ways to go on" in str(error) else -1
    return 100


@pytest.mark.parametrize("limit", [{"max_items_in_row": 60}, {"step_max_items": 120}])
def test_a_grammar_that_grows_too_ambiguous_is_given_up_at_the_same_token(
    monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]
) -> None:
    ambiguous = Constraint.grammar('start: x\nx: x x | x x x | "a"')
    unlimited = matcher(ambiguous)
    monkeypatch.setattr(compiling, "limits_of", lambda kind: LLParserLimits(verbose_errors=False, **limit))
    limited = [Matcher(Grammars().compiled(ambiguous, BYTES, len(BYTES.get_vocab()))) for _ in range(2)]
    ends = [followed(one, ids("a")[0]) for one in limited]
    assert 3 < ends[0] == ends[1] < 50, "by a count, so that no clock ends an answer"
    unlimited.push(ids("a" * 50))
    assert unlimited.mask() is not None


def test_a_grammar_is_compiled_once_for_a_tokenizer_and_the_least_used_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    grammars = Grammars(kept=2)
    one, two, three = (grammars.compiled(Constraint.regex(pattern), BYTES, TINY_VOCAB) for pattern in ("a", "b", "c"))
    assert grammars.compiled(Constraint.regex("c"), BYTES, TINY_VOCAB) is three
    assert grammars.compiled(Constraint.regex("b"), BYTES, TINY_VOCAB) is two
    assert grammars.compiled(Constraint.regex("a"), BYTES, TINY_VOCAB) is not one
    other = byte_level()
    assert grammars.compiled(Constraint.regex("b"), other, len(other.get_vocab())) is not two


def test_a_lark_grammar_may_hold_a_schema_of_one_style() -> None:
    schema = thing(a={"type": "integer"})
    lark = f'start: "call " %json {json.dumps(styled(schema, "one_space"))}'
    assert BYTES.decode(matcher(Constraint.grammar(lark)).forced()) == 'call {"a": '


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
LIST = {"type": "array", "items": {"$ref": "#/$defs/node"}}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (NODE, True),
        (NODE | {"required": []}, False),
        (NODE | {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}, False),
        (NODE | {"properties": {"next": LIST}}, False),
        (NODE | {"properties": {"next": LIST | {"minItems": 1}}}, True),
        (NODE | {"type": ["object", "null"]}, False),
        ({"allOf": [NODE]}, True),
        ({"$ref": "#/$defs/node"}, True),
        ({"enum": [NODE]}, False),
    ],
)
def test_a_schema_that_requires_itself_never_ends(node: dict[str, Any], expected: bool) -> None:
    assert never_ends({"$defs": {"node": node}, "$ref": "#/$defs/node"}) is expected
