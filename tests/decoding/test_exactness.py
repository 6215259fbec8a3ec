"""Strict answers: no pass of the target is wider than was measured, and so the words are plain decoding's, bit for
bit, whoever else is answered. Fast ones say how near they came to other words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching import BatchSettings
from mlx_spec.config import DrafterName, ExactnessChoice
from mlx_spec.decoding.cache import together
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.rows import known
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.cache.together import in_passes
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished, RoundFinished, TextDelta
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import rows_are_independent
from tests.batching.asked import Asked, batch_of, run
from tests.tiny import pair_of, tiny_llama, tiny_pair

STRICT = SpeculativeConfig(exactness="strict", acceptance_threshold=0.0)
PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [9, 8], [5, 5, 3, 1], [7, 1, 7, 1, 7]]
ROOMY = 1_000


@pytest.fixture
def width_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has every model measured to have a width."""

    def measured(width: int, *, trees: bool = True) -> None:
        widths = RowWidths(width, trees, tried=16)
        for name in ("known_widths", "row_widths"):
            monkeypatch.setattr(f"mlx_spec.decoding.knowledge.{name}", lambda *_: widths)

    return measured


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of all passes of targets that score, by pass."""
    counted: list[int] = []
    scored = together._scored

    def heard(parts: Any, compiled: Any, shares: Any) -> Any:
        scores = parts[0].again  # and does not read a prompt
        if scores and parts[0].cached.model is not None and parts[0].cached.widest is not None:
            counted.append(sum(part.rows for part in parts))
        return scored(parts, compiled, shares)

    monkeypatch.setattr(together, "_scored", heard)
    return counted


def asked(tokens: int = 12, **how: Any) -> list[Asked]:
    return [
        Asked(tuple(prompt), SamplingParams(temperature=0.7, seed=seed), tokens, how.get("drafter", "auto"))
        for seed, prompt in enumerate(PROMPTS)
    ]


def test_no_pass_of_a_crowd_is_wider_than_was_measured(width_of: Callable[..., None], rows: list[int]) -> None:
    width_of(5)
    fixed = replace(STRICT, adaptive_lookahead=False)  # what is chosen hangs on the clock
    done = run(batch_of(tiny_pair(), ROOMY, BatchSettings(), config=fixed), every := asked())
    assert max(rows) == 5
    assert len(rows) > 1
    for number, one in enumerate(every):
        end = done.end(str(number))
        assert isinstance(end, GenerationFinished)
        assert end.token_ids == one.alone(tiny_pair()).token_ids or not rows_are_independent()
        assert (end.stats.exactness, end.stats.nearest_tie) == ("strict", None)
        assert end.stats.accepted_tokens > 0


@pytest.mark.parametrize("lookahead", [8, None], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("trees", [False, True])
def test_one_answer_drafts_within_the_width(
    lookahead: int | None, trees: bool, width_of: Callable[..., None], rows: list[int]
) -> None:
    width_of(6)
    config = SpeculativeConfig(
        exactness="strict", acceptance_threshold=0.0, tree_speculation=trees, adaptive_lookahead=lookahead is None
    )
    decoder = SpeculativeDecoder(tiny_pair(), config)
    events = list(decoder.stream(PROMPTS[0], SamplingParams(seed=1), 40, lookahead=lookahead))
    assert max(rows) == 6 if lookahead else max(rows) <= 6
    assert any(isinstance(event, RoundFinished) and event.branched for event in events) <= trees


def test_trees_that_round_otherwise_are_left_out(width_of: Callable[..., None]) -> None:
    width_of(16, trees=False)
    config = SpeculativeConfig(
        exactness="strict", acceptance_threshold=0.0, tree_speculation=True, adaptive_lookahead=False
    )
    events = list(SpeculativeDecoder(tiny_pair(), config).stream(PROMPTS[0], SamplingParams(seed=1), 30))
    rounds = [event for event in events if isinstance(event, RoundFinished)]
    assert not any(event.branched for event in rounds)
    assert any(event.drafted for event in rounds)


def test_a_width_of_one_is_plain_decoding(width_of: Callable[..., None], rows: list[int]) -> None:
    width_of(1)
    done = run(batch_of(tiny_pair(), ROOMY, BatchSettings(), config=STRICT), asked())
    assert set(rows) == {1}
    end = done.end("0")
    assert isinstance(end, GenerationFinished)
    assert (end.stats.exactness, end.stats.draft_tokens) == ("strict", 0)
    told = {event.reason for events in done.told.values() for event in events if isinstance(event, RoundFinished)}
    assert told == {"strict: only passes of one row keep rows apart here"}


def test_strict_words_are_those_that_an_answer_has_alone_bit_for_bit() -> None:
    """As measured here, whatever the BLAS: with OpenBLAS the model is wide enough for rows to see each other."""
    pair = pair_of(tiny_llama(3, hidden=128), tiny_llama(3, hidden=128))
    decoder = SpeculativeDecoder(pair, STRICT)
    _, widths = decoder.exactness()
    assert widths.width is None if rows_are_independent() else not widths.allows(5)
    alone = [_logits(pair, [number], strict=True)[0] for number in range(len(PROMPTS))]
    crowd = _logits(pair, range(len(PROMPTS)), strict=True)
    for one, among in zip(alone, crowd, strict=True):
        assert mx.array_equal(one, among)
    fast = _logits(pair, range(len(PROMPTS)), strict=False)
    same = all(mx.array_equal(one, among).item() for one, among in zip(alone, fast, strict=True))
    assert same == rows_are_independent(), "or the comparison shows nothing"


@pytest.mark.parametrize("numbers", ["float32", "bfloat16"])
def test_a_strict_answer_has_the_same_bits_alone_and_in_a_crowd(numbers: str) -> None:
    """Told probabilities are made of all logits of a row; with OpenBLAS those of fast answers are others."""
    target, draft = tiny_llama(3, hidden=128), tiny_llama(4, hidden=128)
    if numbers == "bfloat16":
        target.set_dtype(mx.bfloat16)
    pair, every = pair_of(target, draft), asked(10)

    def told(config: SpeculativeConfig, only: int | None = None) -> list[list[tuple[int, float]]]:
        chosen = every if only is None else [every[only]]
        done = run(batch_of(pair, ROOMY, BatchSettings(), config=config, keeps=False), chosen)
        rounds = [[one for one in done.told[str(at)] if isinstance(one, RoundFinished)] for at in range(len(chosen))]
        return [[(token.token_id, token.p) for one in each for token in one.emitted] for each in rounds]

    crowd = told(STRICT)
    assert crowd == [told(STRICT, number)[0] for number in range(len(every))]
    fast = told(SpeculativeConfig(exactness="fast", acceptance_threshold=0.0, adaptive_lookahead=False))
    assert (fast == crowd) == (numbers == "bfloat16" or rows_are_independent()), "or the comparison shows nothing"


def _logits(pair: ModelPair, numbers: Any, *, strict: bool) -> list[mx.array]:
    """Rows of two tokens each, of answers that are scored together."""
    widths = known.row_widths(pair.target, pair.target_name)
    every = []
    for number in numbers:
        cached = CachedModel(pair.target, "tiny", speculative=True, widest=widths.width if strict else None)
        cached.prefill(PROMPTS[number])
        every.append(cached)
    found: list[list[mx.array]] = [[] for _ in every]
    for token_id in (3, 4):
        parts = [together.Part(cached, mx.array([token_id]), kept=1) for cached in every]
        for rows, logits in zip(found, together.score_together(parts), strict=True):
            rows.append(logits)
    return [mx.concatenate(rows) for rows in found]


@pytest.mark.parametrize(
    ("choice", "width", "expected"),
    [("auto", 4, "strict"), ("auto", 3, "fast"), ("strict", 1, "strict"), ("fast", 16, "fast")],
)
def test_auto_is_strict_where_four_rows_are(
    choice: ExactnessChoice, width: int, expected: str, width_of: Callable[..., None]
) -> None:
    width_of(width)
    decoder = SpeculativeDecoder(tiny_pair(), SpeculativeConfig(exactness=choice))
    assert decoder.exactness()[0] == expected
    for asked_for, found in (("fast", "fast"), ("strict", "strict"), (None, expected)):
        *_, end = decoder.stream([1, 2], max_tokens=2, exactness=asked_for)
        assert isinstance(end, GenerationFinished)
        assert end.stats.exactness == found


def test_what_is_no_exactness_is_refused() -> None:
    with pytest.raises(ConfigError, match="exactness"):
        SpeculativeConfig(exactness="exact")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="exactness"):
        SpeculativeDecoder(tiny_pair()).request([1], exactness="exact")  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("trees", [False, True])
def test_fast_answers_tell_how_near_a_tie_they_came(temperature: float, trees: bool) -> None:
    pair = tiny_pair()
    config = SpeculativeConfig(
        exactness="fast", acceptance_threshold=0.0, tree_speculation=trees, adaptive_lookahead=False
    )
    params = SamplingParams(temperature=temperature, seed=5)
    events = list(SpeculativeDecoder(pair, config).stream(PROMPTS[0], params, 24))
    tokens = [token for event in events if isinstance(event, RoundFinished) for token in event.emitted]
    end = events[-1]
    assert isinstance(end, GenerationFinished)
    margins = [_margin(pair, [*PROMPTS[0], *end.token_ids[:at]], params) for at in range(len(tokens))]
    assert [token.margin for token in tokens] == pytest.approx(margins, abs=1e-3)
    assert end.stats.nearest_tie == min(token.margin for token in tokens if token.margin is not None)
    assert end.stats.exactness == "fast"


@pytest.mark.parametrize("drafter", ["none", "model"])
def test_that_an_answer_ended_was_a_choice_too(drafter: DrafterName) -> None:
    pair, params = tiny_pair(), SamplingParams(temperature=0.8, seed=5)
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(exactness="fast", acceptance_threshold=0.0), drafter=drafter)
    rounds = [event for event in decoder.stream(PROMPTS[0], params, 24) if isinstance(event, RoundFinished)]
    tokens = [token for one in rounds for token in one.emitted]
    least = min(tokens, key=lambda token: token.margin or ROOMY)
    assert [one.end_margin for one in rounds] == [None] * len(rounds)
    pair.tokenizer.eos_token_ids = {least.token_id}
    first = next(token for token in tokens if token.token_id == least.token_id)
    *_, last, end = (event for event in decoder.stream(PROMPTS[0], params, 24) if not isinstance(event, TextDelta))
    assert isinstance(last, RoundFinished)
    assert isinstance(end, GenerationFinished)
    assert len(end.token_ids) == first.position - len(PROMPTS[0])
    assert last.end_margin == pytest.approx(first.margin, abs=1e-3)
    said = [token.margin for token in tokens[: len(end.token_ids)]]
    assert end.stats.nearest_tie == pytest.approx(min(*said, first.margin), abs=1e-3)


def _margin(pair: ModelPair, context: list[int], params: SamplingParams) -> float:
    from mlx_spec.sampling.distribution import scores
    from mlx_spec.sampling.gumbel import noise

    row = scores(pair.target(mx.array([context]))[0, -1], params)
    if params.temperature:
        row = row + noise(params.seed or 0, len(context), row.shape[-1])
    second, first = mx.sort(row)[-2:].tolist()
    return float(first - second)


def test_where_only_one_word_is_left_there_is_no_tie() -> None:
    decoder = SpeculativeDecoder(tiny_pair(), SpeculativeConfig(exactness="fast"))
    events = list(decoder.stream(PROMPTS[0], SamplingParams(temperature=1.0, top_k=1, seed=1), 6))
    tokens = [token for event in events if isinstance(event, RoundFinished) for token in event.emitted]
    assert {token.margin for token in tokens} == {None}
    assert decoder.stats().nearest_tie is None


def test_passes_are_few_and_never_too_wide() -> None:
    assert in_passes([1] * 8, 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert in_passes([3, 1, 4, 2], 5) == [[1, 2], [0, 3]]
    assert in_passes([2, 9], None) == [[0, 1]]
    assert in_passes([7], 5) == [[0]], "what waits to be read again may have to go along"
