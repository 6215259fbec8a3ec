"""Following what a client predicts: where the text is in it, how long it may be, and that it changes no word."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching.batch import Batch
from mlx_spec.config import fixed_rounds
from mlx_spec.decoding.drafters import prediction
from mlx_spec.decoding.drafters.ngram import NgramDrafter
from mlx_spec.decoding.drafters.prediction import MOST_MATCHED, EndingIndex, Prediction
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished, PredictionUse, RoundFinished
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.plan import Observation, Option
from mlx_spec.models.loading import ModelPair
from tests.tiny import tiny_pair

FILE = tuple(random.Random(3).randrange(400) for _ in range(600))
TEXT = [*FILE[:100], 900, 901, *FILE[102:300], *FILE[310:450], 903, 904, 905, *FILE[450:]]
"""Two tokens changed, ten left out, three put in."""


def foretold(file: Sequence[int], text: Sequence[int]) -> list[bool]:
    """Of each token, whether it was foretold."""
    found, follower = [], Prediction(tuple(file))
    for token_id in text:
        found.append(follower.following(1) == [token_id])
        follower.push([token_id])
    return found


def test_it_is_followed_from_its_beginning_and_found_again_behind_each_difference() -> None:
    found = foretold(FILE, TEXT)
    missed = [at for at, right in enumerate(found) if not right]
    assert found[0]
    assert len(missed) <= 3 + 5 + 3 * 2, "the differences, and a token or two behind each"
    follower = Prediction(FILE)
    follower.push(TEXT)
    assert follower.use(len(TEXT)) == PredictionUse(588, 12)
    assert follower.use(0) == PredictionUse(0, 600)


def test_a_text_that_was_moved_is_found_wherever_it_stands() -> None:
    moved = [*FILE[400:500], *FILE[:100]]
    assert sum(foretold(FILE, moved)) >= 190


def test_one_that_is_all_wrong_foretells_next_to_nothing() -> None:
    other = random.Random(4)
    follower = Prediction(FILE)
    offers = 0
    for _ in range(400):
        offers += bool(follower.ahead)
        follower.push([other.randrange(400)])
    assert offers <= 4
    assert follower.use(400).accepted == 0


def test_a_wrong_place_makes_the_next_one_harder_to_believe_and_a_right_one_easier() -> None:
    file = tuple([1, 2, 3, 50, 51, 52] * 30)
    follower = Prediction(file)
    offers = 0
    for token_id in [1, 2, 3, 9, 8] * 20:  # what follows three tokens is always another
        offers += bool(follower.ahead)
        follower.push([token_id])
    assert offers < 40
    follower.push(FILE[:1] + file[:18])
    assert follower.ahead, "many right tokens are believed all the same"


def test_surer_the_more_was_right() -> None:
    follower = Prediction(FILE)
    seen = [(follower.sureness, follower.guess)]
    for token_id in FILE[:40]:
        follower.push([token_id])
        seen.append((follower.sureness, follower.guess))
    assert [seen[at][0] for at in (0, 1, 4, 16, 40)] == [0, 1, 2, 3, 3]
    assert seen[16][1] > seen[4][1] > seen[1][1]
    assert follower.following(3) == list(FILE[40:43])
    assert follower.ahead == 560


def test_an_ending_is_found_at_every_place_where_it_stands() -> None:
    generator = random.Random(1)
    file = [generator.randrange(3) for _ in range(300)]
    index = EndingIndex(file)
    for _ in range(200):
        ending = [generator.randrange(4) for _ in range(generator.randrange(1, 12))]
        longest = 0
        while longest < min(MOST_MATCHED, len(ending)) and _stands(file, ending[-longest - 1 :]):
            longest += 1
        length, places = index.find(ending)
        assert length == longest
        assert sorted(places.tolist()) == (_stands(file, ending[-longest:]) if longest else [])


@pytest.mark.parametrize("size", range(12))
def test_a_short_one_is_followed_too(size: int) -> None:
    follower = Prediction(FILE[:size])
    follower.push([900, 901, *FILE[:size], 902, *FILE[:2]])
    assert follower.use(100) == PredictionUse(size if size > 1 else 0, 0 if size > 1 else size)


def _stands(file: list[int], ending: list[int]) -> list[int]:
    size = len(ending)
    return [end for end in range(size, len(file) + 1) if file[end - size : end] == ending]


def test_a_long_one_is_sorted_once_and_a_place_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = EndingIndex
    monkeypatch.setattr(prediction, "EndingIndex", lambda ids: made.append(len(ids)) or real(ids))
    file = tuple([7] * 100_000 + list(FILE))
    for _ in range(2):
        follower = Prediction(file)
        follower.push([*FILE[:50], 990, 991, *FILE[200:260], *[7] * 50])
    assert made == [len(file)]
    assert follower.use(212).accepted > 140


def test_no_index_is_made_for_one_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "EndingIndex", lambda ids: pytest.fail("nobody asked where the text is"))
    Prediction((*FILE[:-1], 1)).push(FILE[:-1])


def test_it_comes_before_what_the_text_repeats_and_may_be_long() -> None:
    drafter = NgramDrafter(prediction=Prediction(FILE))
    drafter.prefill([1, 2, 3, 1, 2])
    assert drafter.trust == 4
    assert drafter.guess == Prediction(FILE).guess
    assert [drafter.limit(8), drafter.limit(20)] == [15, 20]
    draft = drafter.propose(5, 12, 0)
    assert draft is not None
    assert draft.token_ids.tolist() == list(FILE[:12])
    followed = Prediction(FILE)
    followed.push(FILE[:4])
    assert NgramDrafter(prediction=followed).limit(8) == 32
    left = NgramDrafter(prediction=Prediction(()))
    left.prefill([1, 2, 3, 1, 2])
    assert (left.guess, left.trust, left.limit(8)) == (None, 0, 8)


STEPS = Calibration(tuple(40.0 + 3.0 * (rows - 1) for rows in range(1, 17)), 5.0)


def test_the_controller_goes_on_as_far_as_a_sure_prediction_pays() -> None:
    controller = CostLookahead(SpeculativeConfig(), STEPS)
    sure = Option("ngram", 32, 7, guess=0.97)
    plan = controller.plan([sure], 100)
    assert plan.drafter == "ngram"
    assert plan.length > 15
    assert controller.plan([Option("ngram", 32, 3)], 100).length <= 8, "a guess of its own is what makes it long"
    assert controller.plan([sure], 9).length <= 9


@pytest.mark.parametrize(("vocabulary", "most_lost"), [(400, 0.01), (15, 0.02), (5, 0.03)])
def test_one_that_is_all_wrong_is_soon_given_up(vocabulary: int, most_lost: float) -> None:
    """The fewer words there are, the oftener a few of them stand elsewhere by chance."""
    for seed in range(4):
        generator = random.Random(seed)
        file, text = ([generator.randrange(vocabulary) for _ in range(count)] for count in (600, 200))
        rows = rounds_of(file, text)
        spent = sum(STEPS.verify_ms[0] + 3.0 * (width - 1) for width in rows)
        assert spent / (len(text) * STEPS.plain_step_ms) - 1 < most_lost


def test_one_that_is_mostly_right_takes_a_round_for_many_tokens() -> None:
    assert len(rounds_of(list(FILE), TEXT)) < len(TEXT) / 12


def rounds_of(file: list[int], text: list[int]) -> list[int]:
    """The rows of each pass, where the target says `text`, and nothing drafts but what was predicted."""
    controller, follower, rows, at = CostLookahead(SpeculativeConfig(), STEPS), Prediction(tuple(file)), [], 0
    controller.begin()
    while at < len(text):
        option = Option("ngram", follower.longest, 4 + follower.sureness, guess=follower.guess)
        plan = controller.plan([option] if follower.ahead else [], len(text) - at - 1)
        drafts = follower.following(plan.length)
        pairs = zip(drafts, text[at:], strict=False)
        right = next((count for count, (ours, theirs) in enumerate(pairs) if ours != theirs), len(drafts))
        spent, asked = STEPS.verify_ms[0] + 3.0 * len(drafts), option if plan.drafter else None
        tested = min(len(drafts), right + 1)
        controller.observe(Observation(asked, plan.length, len(drafts), tested, right, (), 0.0, spent))
        follower.push(text[at : at + right + 1])
        rows.append(len(drafts) + 1)
        at += right + 1
    return rows


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair(0)


PROMPT = list(b"hello world, how are you")


def answered(pair: ModelPair, params: SamplingParams, config: SpeculativeConfig | None = None, **how: Any) -> Any:
    events = list(SpeculativeDecoder(pair, config).stream(PROMPT, params, 60, **how))
    *_, end = events
    assert isinstance(end, GenerationFinished)
    return end, sum(isinstance(event, RoundFinished) for event in events)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_it_changes_no_word_whoever_drafts(pair: ModelPair, temperature: float) -> None:
    params = SamplingParams(temperature=temperature, seed=4)
    plain, _ = answered(pair, params, drafter="none")
    right = list(plain.token_ids)
    edited = [*right[:20], 1, 2, *right[23:40], 9, *right[40:]]
    wrong = [(token_id * 7 + 13) % 256 for token_id in right]
    for told in (right, edited, wrong):
        for drafter in ("auto", "ngram", "model", "self", "none"):
            end, _ = answered(pair, params, drafter=drafter, predicted_ids=told)
            assert end.token_ids == plain.token_ids, (drafter, told)
            assert end.prediction.accepted + end.prediction.rejected == len(told)
        for shape in (8, "3x2"):
            end, rounds = answered(pair, params, fixed_rounds(shape), predicted_ids=told)
            assert end.token_ids == plain.token_ids
            assert rounds < len(right) / 2 or told is wrong
    end, rounds = answered(pair, params, fixed_rounds(32), drafter="ngram", predicted_ids=right)
    assert rounds <= 3
    assert end.prediction == PredictionUse(len(right), 0)


def test_what_it_was_worth_does_not_hang_on_how_it_was_drafted(pair: ModelPair) -> None:
    params = SamplingParams(temperature=0.8, seed=4)
    right = list(answered(pair, params, drafter="none")[0].token_ids)
    told = [*right[:20], 1, 2, *right[23:]]
    ways = [answered(pair, params, drafter=drafter, predicted_ids=told)[0] for drafter in ("none", "ngram", "model")]
    assert len({end.prediction for end in ways}) == 1
    assert answered(pair, params)[0].prediction is None


def test_answers_in_a_batch_follow_their_own(pair: ModelPair) -> None:
    params = SamplingParams(temperature=0.8, seed=4)
    right = answered(pair, params, drafter="none")[0].token_ids
    batch = Batch(SpeculativeDecoder(pair))
    batch.add("predicted", PROMPT, params, 60, predicted_ids=right)
    batch.add("other", PROMPT[:7], params, 60, predicted_ids=[5] * 40)
    ends = {}
    while not batch.is_idle:
        ends |= {name: event for name, event in batch.step() if isinstance(event, GenerationFinished)}
    assert ends["predicted"].token_ids == right
    assert ends["predicted"].prediction == PredictionUse(len(right), 0)
    assert ends["other"].prediction is not None


@pytest.mark.parametrize("ids", [[-1], [1, 259]])
def test_ids_that_the_vocabulary_lacks_are_refused(pair: ModelPair, ids: list[int]) -> None:
    with pytest.raises(ConfigError, match="predicted_ids"):
        answered(pair, SamplingParams(), predicted_ids=ids)
