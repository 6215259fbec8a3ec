"""A pass is made in the way that takes less time on this machine; that never decides a word."""

from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import pytest

import mlx_spec.decoding.cache.pass_choice as choosing
from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.pass_choice import PassChoice, adopt_choice, choice_of, measure_choice
from mlx_spec.decoding.cache.passes.compiled import CHOICES
from tests.tiny import pair_of, tiny_llama, tiny_pair
from tests.zoo import zoo_model

RATIOS = ((1, 60, 0.9), (6, 60, 0.95), (1, 1500, 0.92), (6, 1500, 1.09))


def test_by_the_nearest_rows_and_between_two_contexts() -> None:
    choice = PassChoice(RATIOS)
    assert [choice.compiled_pays(rows, 4000) for rows in (1, 2, 3, 4, 5, 16)] == [True, True, True, False, False, False]
    assert [choice.compiled_pays(6, context) for context in (1, 60, 700, 1300, 1500)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert PassChoice().compiled_pays(6, 1500)


@pytest.mark.parametrize("kept", [None, 3, "x", [[1]], [[1, 60, 0]], [[1, 60, "fast"]], [[1, 60, 1e9]]])
def test_what_makes_no_sense_on_disk_chooses_nothing(kept: object) -> None:
    assert choice_of(kept) == PassChoice()
    assert choice_of([list(ratio) for ratio in RATIOS]) == PassChoice(RATIOS)


def test_an_ordinary_pass_is_made_where_it_is_faster_and_says_the_same() -> None:
    model = tiny_llama(0)
    scored = []
    for ratio in (0.5, 2.0):
        adopt_choice(model, PassChoice(((1, 60, 0.5), (6, 60, ratio))))
        cached = CachedModel(model, "tiny", speculative=True)
        cached.prefill([1, 2, 3])
        built = []
        for width in (6, 6, 1, 1):
            scored.append(cached.score(mx.array([5] * width)))
            built.append(cached.built_anew)
        # A graph is kept, and told as built, for compiled passes only.
        assert built[0] == (ratio < 1)
    for compiled, ordinary in zip(scored[:4], scored[4:], strict=True):
        assert mx.allclose(compiled, ordinary, atol=1e-5).item()


def test_it_is_forgotten_with_its_model() -> None:
    model = tiny_llama(3)
    number = id(model)
    adopt_choice(model, PassChoice(RATIOS))
    assert number in CHOICES
    del model
    assert number not in CHOICES


def test_both_ways_are_timed_over_pretended_contexts() -> None:
    model = tiny_llama(0)
    told: list[float] = []
    choice = measure_choice(model, "tiny", 9, tell=lambda _, fraction: told.append(fraction))
    assert told == [0.0, 0.25, 0.5, 0.75]
    measured = [(rows, context) for rows, context, _ in choice.ratios]
    # All of them, none, or the wide ones, by which bits this machine's products have.
    assert measured in ([(1, 60), (6, 60), (1, 1500), (6, 1500)], [(6, 60), (6, 1500)], [])


@pytest.mark.parametrize(
    ("row", "ordinary", "chosen"),
    [(1.0, 1.0, {1, 6}), (1.0, 1.0001, set()), (1.0001, 1.0002, {6})],
    ids=["all bits agree", "the ways differ", "rows differ by width anyway"],
)
def test_where_only_the_way_would_change_bits_the_clock_does_not_choose(
    row: float, ordinary: float, chosen: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words must not hang on which way was faster today, and plain decoding's never do."""

    def timed(ways: object, rows: int) -> tuple[dict[bool, list[float]], dict[bool, mx.array]]:
        compiled = mx.full((rows, 4), 1.0 if rows == 1 else row)
        return {True: [2.0], False: [1.0]}, {True: compiled, False: compiled * ordinary}

    monkeypatch.setattr(choosing, "_timed", timed)
    choice = measure_choice(tiny_llama(0), "tiny", 9)
    assert {rows for rows, _, _ in choice.ratios} == chosen
    assert choice.compiled_pays(1, 700) == (1 not in chosen)
    assert choice.compiled_pays(3, 700) == (1 not in chosen)
    assert choice.compiled_pays(9, 700) == (6 not in chosen)


def test_a_second_measurement_does_not_compare_a_way_with_itself(
    lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first one chose is put aside for it."""
    pair = tiny_pair(0)
    adopted: list[PassChoice] = []
    monkeypatch.setattr(
        "mlx_spec.decoding.measuring.calibration.adopt_choice", lambda model, choice: adopted.append(choice)
    )

    def measured(*_: object) -> PassChoice:
        assert adopted[-1] == PassChoice()
        return PassChoice(RATIOS)

    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.measure_choice", measured)
    monkeypatch.setattr("mlx_spec.decoding.measuring.pass_times.Disturbance", lambda: SimpleNamespace(read=lambda: 0.5))
    for _ in range(2):
        adopted.clear()
        SpeculativeDecoder(pair).calibrate()
        assert [choice.ratios for choice in adopted] == [(), RATIOS]  # how many rows are exact is another matter


def test_models_that_cannot_be_compiled_have_no_choice() -> None:
    assert measure_choice(zoo_model("mamba2"), "mamba2", 9).ratios == ()


def test_it_is_kept_with_the_calibration(lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(0)
    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.measure_choice", lambda *_: PassChoice(RATIOS))
    SpeculativeDecoder(pair).calibrate()
    again = pair_of(pair.target, pair.draft)
    CHOICES.clear()
    SpeculativeDecoder(again).calibrate()
    assert not CHOICES[id(again.target)](6, 1500)
    plain, drafted = (
        list(SpeculativeDecoder(again, drafter=drafter).stream([1, 2, 3], SamplingParams(seed=1), 30)).pop()
        for drafter in ("none", "model")
    )
    assert plain.token_ids == drafted.token_ids


def test_a_pass_that_must_have_the_bits_of_a_plain_step_is_made_as_that_is() -> None:
    """Where the two ways have other bits, only what is wider than rows keep theirs may be built anew."""
    differing = tuple(ratio for ratio in RATIOS if ratio[0] > 1)
    strict = PassChoice(differing, exact_rows=5)
    assert [strict.compiled_pays(rows, 4000) for rows in (1, 4, 5, 6, 16)] == [True, True, True, False, False]
    assert not PassChoice(RATIOS, exact_rows=16).compiled_pays(6, 4000), "here both ways have the same"
