"""Many answers at once: each has the words, the events and the end that it has alone."""

from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching import Batch, BatchSettings
from mlx_spec.batching import batch as batch_module
from mlx_spec.batching.settings import PreemptionName
from mlx_spec.decoding import phases
from mlx_spec.decoding.drafters.draft_model import DraftModel
from mlx_spec.decoding.steering import Change, Steering
from mlx_spec.errors import BusyError, ConfigError, DeadlineError, LookaheadError, NumericalError, PromptError
from mlx_spec.events import (
    AnswerFailed,
    GenerationFinished,
    PrefillProgress,
    RoundFinished,
    TextDelta,
    Waiting,
)
from mlx_spec.models.text.transcript import Transcript
from mlx_spec.sampling.penalties import Penalties
from tests.batching.asked import BLOCK, Asked, Run, batch_of, check, run, some
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama, tiny_pair
from tests.zoo import VOCAB, mixed, zoo_model

pytestmark = pytest.mark.usefixtures("small_chunks")

KINDS = ("llama", "gemma3", "mamba2", "qwen3_next", "llama4")
"""Keys and values, windows, recurrent states, both, chunks."""
ROOMY = 1_000
GREEDY = SamplingParams(temperature=0)
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


@pytest.mark.in_turn
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("keeps", [True, False])
def test_each_has_the_words_that_it_has_alone(name: str, keeps: bool) -> None:
    target = zoo_model(name)
    pair = pair_of(target, mixed(target, zoo_model(name, seed=9), 0.97), vocab=VOCAB)
    asked = some(10, vocab=VOCAB)
    batch = batch_of(pair, ROOMY, BatchSettings(max_batch=4), keeps=keeps)
    done = run(batch, asked)
    assert [done.ids(str(number)) for number in range(10)] == [one.alone(pair).token_ids for one in asked]
    assert done.count(Waiting) > 0
    found = batch.metrics.snapshot().cached_tokens
    if not keeps or name == "llama":  # others begin only where a point was kept, which these prompts may not share
        assert (found > 0) == keeps


def test_nothing_is_left_behind() -> None:
    pair = tiny_pair(0)
    batch = batch_of(pair, ROOMY)
    run(batch, some(8, vocab=TINY_VOCAB))
    assert batch.is_idle
    assert batch.leases == []
    assert batch.step() == []
    assert not batch._seats
    assert batch.report()["running"] == batch.report()["waiting"] == []


def test_one_alone_is_told_what_stream_tells() -> None:
    pair = tiny_pair(0)
    prompt, params = list(range(40, 80)), SamplingParams(temperature=0.8, seed=3)
    told = run(batch_of(pair, ROOMY, config=FIXED), [Asked(tuple(prompt), params, 20, "model")]).told["0"]
    streamed = list(SpeculativeDecoder(pair, FIXED, drafter="model").stream(prompt, params, 20))
    assert [type(event) for event in told] == [type(event) for event in streamed]
    for ours, theirs in zip(told, streamed, strict=True):
        match ours, theirs:
            case TextDelta(), TextDelta():
                assert ours == theirs
            case PrefillProgress(), PrefillProgress():
                assert ours.processed_tokens == theirs.processed_tokens
            case RoundFinished(), RoundFinished():
                assert (ours.index, ours.drafted, ours.emitted) == (theirs.index, theirs.drafted, theirs.emitted)
            case GenerationFinished(), GenerationFinished():
                assert (ours.token_ids, ours.text, ours.seed) == (theirs.token_ids, theirs.text, theirs.seed)
                assert (ours.finish_reason, ours.prompt_tokens) == (theirs.finish_reason, theirs.prompt_tokens)
                assert ours.stats.accepted_tokens == theirs.stats.accepted_tokens


def test_texts_of_all_are_whole() -> None:
    """Each answer's pieces, joined, are its text, in the order of its own events."""
    pair = tiny_pair(0)
    done = run(batch_of(pair, ROOMY), some(8, vocab=TINY_VOCAB))
    for number in range(8):
        told = done.told[str(number)]
        end = done.end(str(number))
        assert isinstance(end, GenerationFinished)
        assert "".join(event.text for event in told if isinstance(event, TextDelta)) == end.text
        kinds = [type(event) for event in told if not isinstance(event, Waiting)]
        rounds = kinds.index(RoundFinished)
        assert set(kinds[:rounds]) == {PrefillProgress}
        assert PrefillProgress not in kinds[rounds:]
        assert kinds.count(GenerationFinished) == 1


def test_a_prompt_is_read_beside_those_who_write() -> None:
    pair = tiny_pair(0)
    writer = Asked((1, 2, 3), SamplingParams(temperature=1.0, seed=2), 60, "none")
    reader = Asked(tuple(range(100)), GREEDY, 3, "none", joins=5)
    # Room for a chunk beside a row of each.
    batch = batch_of(pair, ROOMY, BatchSettings(max_batch=2, chunk_tokens=BLOCK, step_tokens=BLOCK + 2))
    beside = []

    def meanwhile(step: int, done: Run) -> None:
        rows = [one["rows"] for one in batch.report()["running"]]
        beside.append((any(row["read"] for row in rows), any(row["plain"] for row in rows)))

    done = run(batch, [writer, reader], meanwhile)
    assert beside.count((True, True)) >= 100 // BLOCK - 1
    assert done.ids("1") == reader.alone(pair).token_ids


def test_the_share_of_reading_follows_the_time_that_it_takes() -> None:
    pair, seconds = tiny_pair(0), 0.0

    def clock() -> float:
        nonlocal seconds
        seconds += 0.010  # between two looks: so a read of whatever length takes 10 ms
        return seconds

    settings = BatchSettings(max_batch=2, prefill_budget_ms=15.0)
    batch = batch_of(pair, ROOMY, settings, clock=clock)
    asked = [
        Asked((1, 2, 3), SamplingParams(temperature=1.0, seed=2), 60, "none"),
        Asked(tuple(range(100)), GREEDY, 3, "none", joins=3),
        Asked(tuple(range(100, 200)), GREEDY, 3, "none", joins=20),
    ]
    done = run(batch, asked)
    steps = [
        [event.processed_tokens for event in done.told[name] if isinstance(event, PrefillProgress)] for name in "12"
    ]
    assert steps[0][1] == BLOCK
    assert done.ids("2") == asked[2].alone(pair).token_ids


class TestCancelled:
    """Wherever an answer is when nobody wants it any more."""

    PAIR = tiny_pair(0)

    def begun(self, *, preemption: PreemptionName = "swap", blocks: int = ROOMY) -> Batch:
        return batch_of(self.PAIR, blocks, BatchSettings(max_batch=2, preemption=preemption))

    def ended(self, batch: Batch, name: str) -> GenerationFinished:
        """The last event of one that was cancelled, which comes with the next step."""
        used = batch._pool.usage().used
        batch.cancel(name)
        batch.cancel(name)
        assert batch._pool.usage().used <= used
        check(batch)
        assert all(entry.request_id != name for entry in batch.scheduler.entries)
        told = [event for owner, event in batch.step() if owner == name]
        check(batch)
        ends = [event for event in told if isinstance(event, GenerationFinished)]
        assert len(ends) == 1
        assert told[-1] is ends[0]
        assert ends[0].finish_reason == "cancelled"
        batch.cancel(name)
        assert all(owner != name for owner, _ in batch.step())
        return ends[0]

    def test_before_its_first_step(self) -> None:
        batch = self.begun()
        batch.add("a", [1, 2, 3], GREEDY, 5)
        assert self.ended(batch, "a").token_ids == ()
        assert batch.is_idle

    def test_while_it_waits(self) -> None:
        batch = self.begun()
        for name in "abc":
            batch.add(name, [1, 2, 3], SamplingParams(temperature=1.0, seed=1), 40)
        batch.step()
        assert batch.num_waiting == 1
        end = self.ended(batch, "c")
        assert (end.token_ids, end.prompt_tokens, end.seed) == ((), 3, 1)
        assert batch.num_waiting == 0

    def test_while_its_prompt_is_read(self) -> None:
        batch = batch_of(self.PAIR, ROOMY, BatchSettings(max_batch=2, chunk_tokens=BLOCK, step_tokens=BLOCK + 2))
        batch.add("a", list(range(100)), GREEDY, 5)
        batch.step()
        assert batch.scheduler.entries[0].state == "reading"
        assert self.ended(batch, "a").token_ids == ()
        batch.add("b", list(range(100)), GREEDY, 5)
        first = next(event for _, event in batch.step() if isinstance(event, PrefillProgress))
        assert first.cached_tokens == BLOCK

    def test_while_it_is_written(self) -> None:
        batch = self.begun()
        batch.add("a", [1, 2, 3], SamplingParams(temperature=1.0, seed=1), 40)
        batch.add("b", [4, 5, 6], SamplingParams(temperature=1.0, seed=2), 40)
        for _ in range(6):
            batch.step()
        whole = Asked((1, 2, 3), SamplingParams(temperature=1.0, seed=1), 40).alone(self.PAIR).token_ids
        cut = self.ended(batch, "a").token_ids
        assert 0 < len(cut) < len(whole)
        assert whole[: len(cut)] == cut
        assert [entry.request_id for entry in batch.scheduler.entries] == ["b"]

    @pytest.mark.parametrize("preemption", ["swap", "recompute"])
    def test_while_it_has_stepped_aside(self, preemption: PreemptionName) -> None:
        batch = self.begun(preemption=preemption, blocks=9)
        for name, seed in (("a", 1), ("b", 2)):
            batch.add(name, range(seed, seed + 20), SamplingParams(temperature=1.0, seed=seed), 45)
        while not any(entry.stepped_aside for entry in batch.scheduler.entries):
            batch.step()
        (aside,) = [entry for entry in batch.scheduler.entries if entry.stepped_aside]
        seed = {"a": 1, "b": 2}[aside.request_id]
        cut = self.ended(batch, aside.request_id).token_ids
        params = SamplingParams(temperature=1.0, seed=seed)
        whole = Asked(tuple(range(seed, seed + 20)), params, 45).alone(self.PAIR).token_ids
        assert cut
        assert whole[: len(cut)] == cut

    def test_one_that_never_was(self) -> None:
        batch = self.begun()
        batch.cancel("nobody")
        assert batch.is_idle


class TestFailed:
    """What goes wrong in one answer is told to that one, and the others go on."""

    ASKED = (
        Asked((1, 2, 3), SamplingParams(temperature=0.7, seed=1), 20, "model"),
        Asked((4, 5, 6), SamplingParams(temperature=0.7, seed=2, repetition_penalty=1.3), 20, "ngram"),
        Asked(tuple(range(20)), SamplingParams(temperature=0.7, seed=3), 20, "none"),
    )

    def check(self, done: Run, pair: Any, broken: str, error: type) -> None:
        end = done.end(broken)
        assert isinstance(end, AnswerFailed)
        assert isinstance(end.error, error)
        assert end.error.__traceback__ is None
        assert str(end.error).endswith(".")
        for number, one in enumerate(self.ASKED):
            if str(number) != broken:
                assert done.ids(str(number)) == one.alone(pair).token_ids

    @pytest.mark.parametrize(
        ("owner", "name", "after"),
        [(Penalties, "parts", 3), (Penalties, "push", 2), (Transcript, "push", 4), (Penalties, "read_prompt", 0)],
    )
    def test_a_fault_in_its_own_code(self, owner: type, name: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY)
        genuine, calls = getattr(owner, name), 0

        def failing(self: Any, *given: Any) -> Any:
            nonlocal calls
            seat = batch._seats.get("1")
            answer = seat.answer if seat is not None and seat.is_begun else None
            if answer is not None and self in (answer.penalties, answer.transcript):
                calls += 1
                if calls > after:
                    raise KeyError("a bug")
            return genuine(self, *given)

        monkeypatch.setattr(owner, name, failing)
        done = run(batch, self.ASKED)
        assert calls == after + 1
        self.check(done, pair, "1", LookaheadError)
        assert batch.metrics.snapshot().requests == {"done": 2, "failed": 1}

    def test_a_drafter_that_breaks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY, config=FIXED)

        def failing(*given: Any) -> Any:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(DraftModel, "proposing", failing)
        self.check(run(batch, self.ASKED), pair, "0", LookaheadError)

    def test_numbers_that_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY)
        scored = phases.score_all

        def spoiled(asked: Any) -> list[mx.array]:
            seat = batch._seats.get("2")
            broken = seat.answer.target._cached if seat is not None and seat.is_begun else None
            each = zip(asked, scored(asked), strict=True)
            return [rows * mx.nan if one.part.cached is broken else rows for one, rows in each]

        monkeypatch.setattr(phases, "score_all", spoiled)
        self.check(run(batch, self.ASKED), pair, "2", NumericalError)

    def test_an_answer_that_cannot_be_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY)
        begin = batch._decoder.begin

        def failing(request: Any, steering: Any) -> Any:
            if request.seed == 2:
                raise MemoryError("no memory")
            return begin(request, steering)

        monkeypatch.setattr(batch._decoder, "begin", failing)
        self.check(run(batch, self.ASKED), pair, "1", LookaheadError)

    def test_a_whole_pass_is_told_to_all_of_it_and_to_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY, BatchSettings(max_batch=3))
        genuine, calls = batch_module.step, 0

        def failing(answers: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory")
            return genuine(answers)

        monkeypatch.setattr(batch_module, "step", failing)
        late = Asked((7, 8, 9), SamplingParams(temperature=0.7, seed=4), 20, "none")
        done = run(batch, [*self.ASKED, late])
        ends = [done.end(str(number)) for number in range(3)]
        assert all(isinstance(end, AnswerFailed) and "Insufficient Memory" in str(end.error) for end in ends)
        assert done.ids("3") == late.alone(pair).token_ids
        assert not batch.leases

    def test_what_cannot_be_kept_ends_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = tiny_pair(0)
        batch = batch_of(pair, ROOMY)

        def failing(answer: Any) -> None:
            raise MemoryError("no memory")

        monkeypatch.setattr(batch._decoder, "keep", failing)
        done = run(batch, self.ASKED)
        assert [done.ids(str(number)) for number in range(3)] == [one.alone(pair).token_ids for one in self.ASKED]


class TestRefused:
    """What is not let in says why."""

    def test_over_the_limit(self) -> None:
        batch = batch_of(tiny_pair(0), ROOMY, BatchSettings(max_batch=1, max_waiting=1))
        batch.add("a", [1], GREEDY, 40)
        batch.step()
        batch.add("b", [1], GREEDY, 4)
        with pytest.raises(BusyError) as caught:
            batch.add("c", [1], GREEDY, 4)
        assert caught.value.retry_after_s >= 1
        assert batch.num_waiting == 1
        assert batch.metrics.snapshot().requests == {"full": 1}

    def test_a_deadline_that_has_passed(self) -> None:
        batch = batch_of(tiny_pair(0), ROOMY)
        with pytest.raises(DeadlineError):
            batch.add("a", [1], GREEDY, 4, deadline_ms=-1.0)
        assert batch.is_idle

    def test_a_deadline_that_passes_while_it_waits(self) -> None:
        seconds = 0.0
        batch = batch_of(tiny_pair(0), ROOMY, BatchSettings(max_batch=1), clock=lambda: seconds)
        batch.add("a", [1], SamplingParams(temperature=1.0, seed=1), 40)
        batch.step()
        batch.add("b", [1], GREEDY, 4, deadline_ms=1_000.0)
        batch.step()
        seconds = 1.5
        told = [event for name, event in batch.step() if name == "b"]
        assert len(told) == 1
        assert isinstance(told[0], AnswerFailed)
        assert isinstance(told[0].error, DeadlineError)
        check(batch)

    def test_a_prompt_that_the_pool_has_no_room_for(self) -> None:
        batch = batch_of(tiny_pair(0), 4, keeps=False)
        with pytest.raises(PromptError, match="memory"):
            batch.add("a", [1] * (4 * BLOCK + 1), GREEDY, 4)
        batch.add("b", [1] * (4 * BLOCK), GREEDY, 400)
        assert batch.scheduler.entries[0].max_tokens == 1

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"priority": "urgent"}, "priority"),
            ({"deadline_ms": float("nan")}, "deadline_ms"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"drafter": "nobody"}, "drafter"),
            ({"params": SamplingParams(banned_token_ids=(9_999,))}, "banned_token_ids"),
        ],
    )
    def test_settings_that_are_none(self, given: dict[str, Any], field: str) -> None:
        batch = batch_of(tiny_pair(0), ROOMY)
        with pytest.raises(ConfigError) as caught:
            batch.add("a", [1, 2], **given)
        assert caught.value.field == field
        assert batch.is_idle
        assert not batch._seats

    def test_an_id_twice(self) -> None:
        batch = batch_of(tiny_pair(0), ROOMY)
        batch.add("a", [1, 2])
        with pytest.raises(ConfigError):
            batch.add("a", [1, 2])
        assert len(batch._seats) == 1


def test_who_waits_hears_how_many_are_ahead() -> None:
    pair = tiny_pair(0)
    asked = [Asked((number,), SamplingParams(temperature=1.0, seed=number), 6, "none") for number in range(5)]
    done = run(batch_of(pair, ROOMY, BatchSettings(max_batch=1)), asked)
    ahead = [[event.ahead for event in done.told[str(number)] if isinstance(event, Waiting)] for number in range(5)]
    assert ahead == [[], [0], [1, 0], [2, 1, 0], [3, 2, 1, 0]]


def test_an_answer_can_be_steered_among_others() -> None:
    pair, steering = tiny_pair(0), Steering()
    params = SamplingParams(temperature=1.0, seed=5)
    other = Asked((4, 5, 6), SamplingParams(temperature=1.0, seed=6), 40, "model")
    steered = Asked((1, 2, 3), params, 40, "model", how={"steering": steering})

    def meanwhile(step: int, done: Run) -> None:
        if step == 3:
            steering.steer(Change(drafter="none"))

    done = run(batch_of(pair, ROOMY, config=FIXED), [steered, other], meanwhile)
    assert done.ids("0") == steered.alone(pair).token_ids
    drafters = [event.drafter for event in done.told["0"] if isinstance(event, RoundFinished)]
    assert drafters[0] == "model"
    assert drafters[-1] is None
    assert any(isinstance(event, RoundFinished) and event.drafter for event in done.told["1"][-4:])


def test_an_expected_prompt_parts_where_it_was_told_when_the_request_came() -> None:
    """What is told between two requests is for the next one."""
    batch = batch_of(pair_of(tiny_llama(0), None), ROOMY)
    batch._decoder.expect([1, 2, 3, 4])
    batch.add("a", [1, 2, 9, 9], GREEDY, 2)
    batch.add("b", [1, 2, 9, 9], GREEDY, 2)
    assert batch._seats["a"].request.parts_at == {2}
    assert batch._seats["b"].request.parts_at == set()


@pytest.mark.parametrize("name", KINDS)
def test_what_another_reads_is_not_read_again_though_it_goes_on(name: str) -> None:
    """Also by those that can begin only where a point was kept."""
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    opening = tuple(range(1, 4 * BLOCK + 4))
    asked = [
        Asked((*opening, 7, number), SamplingParams(temperature=1.0, seed=number), 30, "none", how={"owner": owner})
        for number, owner in enumerate(("one", "two", None))
    ]
    # Room for one chunk a step: so the second waits for the first.
    batch = batch_of(pair, ROOMY, BatchSettings(max_batch=3, chunk_tokens=BLOCK, step_tokens=BLOCK + 3))
    done = run(batch, asked)
    ends = [done.end(str(number)) for number in range(3)]
    assert [end.cached_tokens for end in ends if isinstance(end, GenerationFinished)] == [0, 4 * BLOCK, 4 * BLOCK]
    assert [done.ids(str(number)) for number in range(3)] == [one.alone(pair).token_ids for one in asked]
