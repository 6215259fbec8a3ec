"""The round loop: plain decoding's own words, whatever is drafted; and every way an answer can end."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.cache import KVCache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding import phases
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.target import Target
from mlx_spec.errors import ConfigError, NumericalError, PromptError, UnsupportedModelError
from mlx_spec.events import Event, GenerationFinished, PrefillProgress, RoundFinished, TextDelta
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.plan import Observation, Option, Plan
from mlx_spec.models.loading import ModelPair
from mlx_spec.sampling.gumbel import NoiseTable, noise
from tests import oracle
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama, tiny_pair

SETTINGS = [
    SamplingParams(temperature=0, seed=1),
    SamplingParams(temperature=0.7, seed=2),
    SamplingParams(temperature=1.2, seed=3),
    SamplingParams(temperature=0.7, top_p=0.9, seed=4),
    SamplingParams(temperature=1.2, top_p=0.8, top_k=50, seed=5),
    SamplingParams(temperature=1.0, min_p=0.05, seed=2**40 + 7),
]


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair(0)


def answer(
    decoder: SpeculativeDecoder, text: str, params: SamplingParams, max_tokens: int = 40, **options: object
) -> list[Event]:
    prompt_ids = decoder._pair.encode_chat([{"role": "user", "content": text}])
    return list(decoder.stream(prompt_ids, params, max_tokens, **options))


def finished(events: list[Event]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1]


def rounds(events: list[Event]) -> list[RoundFinished]:
    return [event for event in events if isinstance(event, RoundFinished)]


@pytest.mark.parametrize("params", SETTINGS, ids=lambda p: f"T{p.temperature}-p{p.top_p}-k{p.top_k}-m{p.min_p}")
def test_plain_decoding_is_the_definition(pair: ModelPair, params: SamplingParams) -> None:
    prompt_ids = pair.encode_chat([{"role": "user", "content": "hello"}])
    events = list(SpeculativeDecoder(pair, drafter="none").stream(prompt_ids, params, 24))
    expected = oracle.plain_decoding(pair.target, prompt_ids, params, 24, set(pair.eos_token_ids))
    assert list(finished(events).token_ids) == expected


@pytest.mark.in_turn
@pytest.mark.parametrize("lookahead", [1, 4, 8, "auto"])
@pytest.mark.parametrize("params", SETTINGS, ids=lambda p: f"T{p.temperature}-p{p.top_p}-k{p.top_k}-m{p.min_p}")
def test_coupled_gives_plain_decodings_words(pair: ModelPair, params: SamplingParams, lookahead: int | str) -> None:
    decoder = SpeculativeDecoder(pair)
    for text in ("hello", "a longer prompt, with more to say 🙂"):
        plain = finished(answer(decoder, text, params, drafter="none"))
        ours = finished(answer(decoder, text, params, lookahead=lookahead))
        assert ours.token_ids == plain.token_ids
        assert (ours.text, ours.finish_reason, ours.seed) == (plain.text, plain.finish_reason, plain.seed)
        assert 0 <= ours.stats.accepted_tokens <= ours.stats.tested_tokens <= ours.stats.draft_tokens
        assert lookahead == "auto" or ours.stats.accepted_tokens > 0


SHAPES = [Shape((2, 2)), Shape((3, 1, 2)), Shape((4,)), Shape((3, 3, 3), nodes=7), Shape((2, 4, 3, 2), nodes=12)]


class _Restless:
    """A controller that plans whatever comes to its mind: every drafter, every length or tree, padded or not, or none
    at all."""

    shared = None

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        choices = [option for option in options if room > 0]
        if not choices or self._random.random() < 0.2:
            return Plan(None, 0, "a whim", parked=self._random.random() < 0.5)
        option = self._random.choice(choices)
        shape = self._random.choice(SHAPES)
        if option.trees and shape.depth <= room:
            return Plan(option.drafter, shape.depth, "a whim", shape=shape)
        return Plan(option.drafter, self._random.randint(1, min(option.limit, room)), "a whim")

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        return self._random.random() < 0.5

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        return [self._random.randint(1, 6) for _ in range(3)]

    def rows(self, count: int) -> int:
        return count + self._random.choice((0, 0, 1, 7))

    def observe(self, round_: Observation) -> None: ...

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None: ...

    plain_step_ms = None


@pytest.mark.in_turn
@pytest.mark.parametrize(("threshold", "trees"), [(0.0, False), (0.5, False), (0.5, True)])
@pytest.mark.parametrize("params", SETTINGS, ids=lambda p: f"T{p.temperature}-p{p.top_p}-k{p.top_k}-m{p.min_p}")
def test_no_plan_changes_the_words(
    pair: ModelPair, params: SamplingParams, threshold: float, trees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SpeculativeConfig(acceptance_threshold=threshold, tree_speculation=trees)
    text = "say it again, say it again, say it again"
    plain = finished(answer(SpeculativeDecoder(pair), text, params, 60, drafter="none"))
    drafters = set()
    for seed in range(3):
        monkeypatch.setattr("mlx_spec.decoding.knowledge.controller", lambda *_, seed=seed: _Restless(seed))
        events = answer(SpeculativeDecoder(pair, config), text, params, 60)
        assert finished(events).token_ids == plain.token_ids
        drafters |= {event.drafter for event in rounds(events)}
    assert drafters == {None, "model", "ngram"}


def test_the_threshold_controller_keeps_the_words_too(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(controller="threshold"))
    params = SamplingParams(temperature=0.7, seed=2)
    end = finished(answer(decoder, "hello", params))
    assert end.token_ids == finished(answer(decoder, "hello", params, drafter="none")).token_ids
    assert end.stats.accepted_tokens > 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_ends_where_it_grows_unsure(
    pair: ModelPair, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On either device: one token is drafted behind an unsure row, and none behind that."""
    params = SamplingParams(temperature=temperature, seed=2)
    unlimited = SpeculativeDecoder(pair, SpeculativeConfig(acceptance_threshold=0.0))
    plain = finished(answer(unlimited, "hello", params, drafter="none"))
    lengths = {}
    for device in ("cpu", "gpu"):
        monkeypatch.setattr(
            "mlx_spec.decoding.drafters.confidence.reads_are_free", lambda device=device: device == "cpu"
        )
        decoder = SpeculativeDecoder(pair, SpeculativeConfig(acceptance_threshold=0.5))
        events = answer(decoder, "hello", params, lookahead=6)
        assert finished(events).token_ids == plain.token_ids
        lengths[device] = [len(event.drafted) for event in rounds(events)]
        passes = finished(events).stats.draft_forward_passes
        asked = sum(event.lookahead for event in rounds(events))
        assert passes == (sum(lengths[device]) if device == "cpu" else asked)
        for event in rounds(events):
            assert all(token.q is not None for token in event.drafted)
    assert lengths["cpu"] == lengths["gpu"]
    assert min(lengths["cpu"]) < max(lengths["cpu"])


@pytest.mark.parametrize(
    "config",
    [
        SpeculativeConfig(draft_temperature=0.0),
        SpeculativeConfig(draft_temperature=2.0, draft_top_p=0.5),
        SpeculativeConfig(min_acceptance_ratio=1.0),
    ],
    ids=["greedy-draft", "hot-draft", "parking"],
)
def test_the_words_do_not_depend_on_how_drafts_are_drawn(pair: ModelPair, config: SpeculativeConfig) -> None:
    params = SamplingParams(temperature=1.0, seed=8)
    decoder = SpeculativeDecoder(pair, config)
    plain = finished(answer(decoder, "hello", params, 80, drafter="none"))
    assert finished(answer(decoder, "hello", params, 80)).token_ids == plain.token_ids


@pytest.mark.parametrize("lookahead", [1, 4, 8])
def test_noise_keyed_by_the_round_is_noticed(pair: ModelPair, monkeypatch: pytest.MonkeyPatch, lookahead: int) -> None:
    """A planted fault: noise by the offset in the round, not by the position. The equality above must then fail."""

    def faulty(self: NoiseTable, position: int) -> mx.array:
        return noise(self._seed, position - getattr(self, "_base", position), self.vocab_size)

    def forget(self: NoiseTable, position: int) -> None:
        self._base = position  # type: ignore[attr-defined]

    monkeypatch.setattr(NoiseTable, "row", faulty)
    monkeypatch.setattr(NoiseTable, "forget_before", forget)
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=1.0, seed=5)
    plain = finished(answer(decoder, "hello", params, drafter="none"))
    assert finished(answer(decoder, "hello", params, lookahead=lookahead)).token_ids != plain.token_ids


def test_a_draft_equal_to_the_target_is_always_accepted() -> None:
    target = tiny_llama(3)
    decoder = SpeculativeDecoder(
        pair_of(target, target), SpeculativeConfig(lookahead=5, adaptive_lookahead=False, acceptance_threshold=0.0)
    )
    for rule_params in (SamplingParams(), SamplingParams(temperature=1, seed=1)):
        stats = finished(answer(decoder, "hi", rule_params, 30)).stats
        assert stats.acceptance_rate == 1.0
        assert stats.mean_accepted_length > 4
    events = answer(decoder, "hi", SamplingParams(temperature=1, seed=1), 31)
    kinds = {token.kind for event in rounds(events) for token in event.emitted}
    assert kinds <= {"accepted", "bonus", "plain"}


def test_one_target_pass_and_one_host_read_a_round(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    read = phases.read_outcome

    def counted(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(phases, "read_outcome", counted)
    # Drafting and verifying must not look at a value: within a round only `read_outcome` may, and where the draft may
    # end early, one look at all its rows.
    for name in ("item", "tolist"):
        for module in ("draft_model", "base", "confidence"):
            readers = {code.co_name for code in _codes(f"mlx_spec.decoding.drafters.{module}") if name in code.co_names}
            assert readers <= {"_sure", "forced_behind"}  # which looks where there is a grammar
    target, draft = _Counted(pair.target), _Counted(pair.draft)
    decoder = SpeculativeDecoder(pair_of(target, draft), SpeculativeConfig(acceptance_threshold=0.0))
    events = answer(decoder, "hello", SamplingParams(temperature=0.7, seed=1), drafter="model", lookahead=4)
    stats = finished(events).stats
    prompt_passes = 1  # it fits one chunk
    assert target.calls - prompt_passes == stats.target_forward_passes
    assert draft.calls - prompt_passes == stats.draft_forward_passes
    assert reads == stats.rounds == stats.target_forward_passes == len(rounds(events))
    assert stats.draft_forward_passes == stats.draft_tokens


def _codes(module: str) -> list:
    import importlib
    import inspect

    found = importlib.import_module(module)
    functions = [member for _, member in inspect.getmembers(found, inspect.isfunction)]
    for _, kind in inspect.getmembers(found, inspect.isclass):
        functions += [member for _, member in inspect.getmembers(kind, inspect.isfunction)]
    return [function.__code__ for function in functions]


def test_a_pass_without_a_draft_is_under_way_before_the_events_are_told(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, asked = [], Target.asked
    monkeypatch.setattr(Target, "asked", lambda *given: passes.append(1) or asked(*given))
    stream = SpeculativeDecoder(pair, drafter="none").stream([1, 2, 3], SamplingParams(temperature=1.0, seed=1), 5)
    begun = [len(passes) for event in stream if isinstance(event, RoundFinished)]
    assert begun == [1, 3, 4, 5, 5]  # the first words wait for no launch


def test_in_a_turn_that_goes_on_the_draft_reads_what_is_new_behind_the_prompt() -> None:
    """And not before the target's pass that gives the first words, which wait for it."""
    pair = tiny_pair(0)
    draft = _Counted(pair.draft)
    decoder = SpeculativeDecoder(pair_of(pair.target, draft), prefixes=Prefixes(100_000_000), drafter="model")
    prompt = [at % 200 for at in range(150)]
    calls = []
    for ids in (prompt, [*prompt, 7, 8, 9]):
        before, known = draft.calls, 0
        for event in decoder.stream(ids, SamplingParams(temperature=0), 12, lookahead=4):
            if isinstance(event, PrefillProgress):
                known, read = event.cached_tokens, draft.calls - before
        calls.append((known > 0, read))
    assert calls[0][1] > 0, "alone it reads with the target"
    assert [found for found, _ in calls] == [False, True]
    assert calls[1][1] == 0
    assert decoder.stats().accepted_tokens > 0, "it drafted behind what was read late"


def test_a_slow_reader_of_the_answer_is_no_slow_machine(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Observation] = []
    learn = CostLookahead.observe
    monkeypatch.setattr(CostLookahead, "observe", lambda *given: told.append(given[1]) or learn(*given))
    late = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + late[0])
    for module in ("decoder", "decoding.clock", "decoding.phases"):
        monkeypatch.setattr(f"mlx_spec.{module}.time", clock)
    events = []
    for event in SpeculativeDecoder(pair).stream([1, 2, 3], SamplingParams(temperature=1.0, seed=1), 40):
        events.append(event)
        late[0] += 60.0 if isinstance(event, RoundFinished) else 0.0
    assert max(max(event.round_ms, event.verify_ms) for event in rounds(events)) < 30_000
    assert any(round_.telling for round_ in told)
    assert all(round_.verify_ms < 30_000 for round_ in told if round_.telling)


def test_events_tell_the_whole_story(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(acceptance_threshold=0.0))
    events = answer(decoder, "hello 🙂", SamplingParams(temperature=0.9, seed=4), 60, lookahead=4)
    end = finished(events)
    prefill = [event for event in events if isinstance(event, PrefillProgress)]
    assert prefill[0].processed_tokens == 0
    assert prefill[-1].processed_tokens == prefill[-1].total_tokens == end.prompt_tokens
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == end.text
    emitted = [token for event in rounds(events) for token in event.emitted]
    assert tuple(token.token_id for token in emitted) == end.token_ids
    assert [token.position for token in emitted] == list(range(end.prompt_tokens, end.prompt_tokens + len(emitted)))
    assert [event.index for event in rounds(events)] == list(range(end.stats.rounds))
    for event in rounds(events):
        states = [token.state for token in event.drafted]
        assert states == sorted(states, key=["accepted", "rejected", "untested"].index)
        assert states.count("rejected") <= 1
        for token in event.drafted:
            assert 0 <= token.q <= 1
            assert (token.p is None) == (token.state == "untested")
        assert event.accepted_count == sum(token.kind == "accepted" for token in event.emitted)
        assert event.round_ms >= event.verify_ms > 0
        assert len(event.drafted) == event.lookahead
        drafting = event.lookahead > 0
        assert event.drafter == ("model" if drafting else None)
        assert event.reason == ("the length is fixed" if drafting else "nothing to draft")
    tested = sum(token.state != "untested" for event in rounds(events) for token in event.drafted)
    assert tested == end.stats.tested_tokens


def test_probabilities_shown_are_the_warped_ones() -> None:
    target = tiny_llama(4)
    decoder = SpeculativeDecoder(pair_of(target, None), drafter="none")
    params = SamplingParams(temperature=0.8, top_k=5, seed=3)
    events = answer(decoder, "hey", params, 5)
    ids = decoder._pair.encode_chat([{"role": "user", "content": "hey"}])
    for token in (token for event in rounds(events) for token in event.emitted):
        import numpy as np

        p = oracle.warped(np.array(target(mx.array([ids]))[0, -1]), params)
        assert token.p == pytest.approx(p[token.token_id], abs=1e-4)
        assert token.kind == "plain"
        ids.append(token.token_id)


@pytest.mark.parametrize("rule", ["coupled", "token"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("vocab", [TINY_VOCAB - 2, TINY_VOCAB + 40])
def test_a_draft_may_be_padded_to_another_width(vocab: int, temperature: float, rule: str) -> None:
    pair = pair_of(tiny_llama(0), tiny_llama(0, vocab=vocab))
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(acceptance=rule))
    params = SamplingParams(temperature=temperature, seed=3)
    end = finished(answer(decoder, "hello", params, 30))
    if rule == "coupled" or temperature == 0:
        assert end.token_ids == finished(answer(decoder, "hello", params, 30, drafter="none")).token_ids
    assert all(0 <= token_id < TINY_VOCAB for token_id in end.token_ids)


def test_drafts_behind_the_end_of_the_answer_do_not_count() -> None:
    target = tiny_llama(3)
    pair = pair_of(target, target)  # every draft is accepted
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=1, seed=1)
    whole = finished(answer(decoder, "hi", params, 60))
    pair.tokenizer._eos_token_ids.add(whole.token_ids[10])
    events = answer(decoder, "hi", params, 60, lookahead=8)
    last = rounds(events)[-1]
    assert last.accepted_count == sum(token.kind == "accepted" for token in last.emitted)
    assert {token.state for token in last.drafted[last.accepted_count :]} <= {"untested"}
    assert finished(events).stats.accepted_tokens == sum(event.accepted_count for event in rounds(events))


def test_a_tiny_temperature_is_greedy(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    cold = finished(answer(decoder, "hello", SamplingParams(temperature=1e-30, seed=1)))
    assert cold.token_ids == finished(answer(decoder, "hello", SamplingParams(seed=1))).token_ids


def test_a_seed_is_drawn_told_and_repeats_the_answer(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    first = finished(answer(decoder, "hello", SamplingParams(temperature=1.0)))
    second = finished(answer(decoder, "hello", SamplingParams(temperature=1.0)))
    again = finished(answer(decoder, "hello", SamplingParams(temperature=1.0, seed=first.seed), lookahead=3))
    assert again.token_ids == first.token_ids
    assert first.seed != second.seed


def test_end_of_sequence_ends_the_answer_and_is_no_part_of_it(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=1.2, seed=3)
    whole = finished(answer(decoder, "hello", params, 120))
    ender = whole.token_ids[20]
    pair.tokenizer._eos_token_ids.add(ender)
    try:
        cut = finished(answer(decoder, "hello", params, 120, lookahead=8))
    finally:
        pair.tokenizer._eos_token_ids.discard(ender)
    assert cut.finish_reason == "stop"
    assert cut.token_ids == whole.token_ids[: whole.token_ids.index(ender)]


@pytest.mark.parametrize("drafter", ["none", "model"])
def test_stop_strings_cut_across_token_borders(pair: ModelPair, drafter: str) -> None:
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=0.7, seed=2)
    whole = finished(answer(decoder, "hello", params, 60))
    readable = whole.text.split("\ufffd")
    stop = max(readable, key=len)[:3]
    assert len(stop) == 3, "the tiny model should say three readable characters in a row"
    cut = finished(
        answer(decoder, "hello", replace(params, stop=(stop, "never said")), 60, drafter=drafter, lookahead=8)
    )
    assert cut.finish_reason == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]


def test_length_ends_exactly(pair: ModelPair) -> None:
    for limit in (1, 2, 7):
        end = finished(
            answer(SpeculativeDecoder(pair), "hello", SamplingParams(temperature=0.7, seed=2), limit, lookahead=8)
        )
        assert (end.finish_reason, len(end.token_ids)) == ("length", limit)


def test_cancel_between_rounds_and_between_chunks(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    asked = 0

    def after_three() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    events = answer(decoder, "hello", SamplingParams(temperature=1, seed=3), 200, should_cancel=after_three)
    assert finished(events).finish_reason == "cancelled"
    assert len(rounds(events)) < 4
    long = answer(decoder, "x" * 900, SamplingParams(), should_cancel=lambda: True)
    assert finished(long).finish_reason == "cancelled"
    assert not rounds(long)
    assert finished(answer(decoder, "hello", SamplingParams(seed=1))).token_ids


def test_a_consumer_may_leave_early(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=0.7, seed=2)
    stream = decoder.stream([1, 2, 3], params, 50)
    for event in stream:
        if isinstance(event, RoundFinished):
            break
    stream.close()
    assert finished(answer(decoder, "hello", params)) is not None


def test_long_prompts_are_read_in_chunks_to_the_same_words(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    params = SamplingParams(temperature=0.7, seed=2)
    events = answer(decoder, "word " * 100, params)
    assert sum(isinstance(event, PrefillProgress) for event in events) > 4
    assert finished(events).token_ids == finished(answer(decoder, "word " * 100, params, drafter="none")).token_ids


def test_a_character_split_over_tokens_is_never_shown_in_halves() -> None:
    """The byte tokenizer splits an emoji over four tokens; a model that says only emojis shows it."""
    pair = pair_of(_Parrot("ab🙂é漢👩‍🚀"), _Parrot("ab🙂é漢👩‍🚀"))
    decoder = SpeculativeDecoder(pair)
    ids = pair.encode("ab🙂é漢👩‍🚀")
    events = list(decoder.stream(ids[:1], SamplingParams(seed=0), len(ids) - 1, lookahead=3))
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(deltas) == "b🙂é漢👩‍🚀"
    assert not any("\ufffd" in text for text in deltas)
    texts = [token.text for event in rounds(events) for token in event.emitted]
    assert "".join(texts) == "b🙂é漢👩‍🚀"
    assert texts[1:5] == ["", "", "", "🙂"]
    cut = list(decoder.stream(ids[:1], SamplingParams(seed=0), 3))
    assert finished(cut).text == "b\ufffd"


class _Parrot(nn.Module):
    """Says the bytes of one text, one after the other, from wherever its context stands."""

    def __init__(self, text: str) -> None:
        super().__init__()
        from tests.tiny import byte_tokenizer

        ids = byte_tokenizer().encode(text)
        rows = mx.zeros((len(ids) + 40, TINY_VOCAB))
        self.rows = rows.at[mx.arange(len(ids) - 1), mx.array(ids[1:])].add(50.0)

    @property
    def layers(self) -> list[None]:
        return [None]

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        start = cache[0].offset
        cache[0].update_and_fetch(*[mx.zeros((1, 1, inputs.shape[1], 1))] * 2)
        return self.rows[start : start + inputs.shape[1]][None]


class _Counted(nn.Module):
    """Counts its forward passes. It looks at a value while its graph is built, so its passes cannot be compiled."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.calls = inner, 0

    @property
    def layers(self) -> list:
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        int(cache[0].offset)
        self.calls += 1
        return self.inner(inputs, cache=cache)


class _Broken(nn.Module):
    """Its logits become NaN after a few tokens."""

    def __init__(self, inner: nn.Module, after: int) -> None:
        super().__init__()
        self.inner, self.after = inner, after

    @property
    def layers(self) -> list:
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        logits = self.inner(inputs, cache=cache)
        return logits * mx.array(float("nan")) if cache[0].offset > self.after else logits


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_reported(temperature: float) -> None:
    pair = pair_of(_Broken(tiny_llama(1), 60), None)
    with pytest.raises(NumericalError, match="not numbers"):
        answer(SpeculativeDecoder(pair), "hello", SamplingParams(temperature=temperature, seed=1), 60)


def test_a_broken_draft_costs_speed_and_no_words(pair: ModelPair) -> None:
    broken = pair_of(pair.target, _Broken(pair.draft, 60))
    params = SamplingParams(temperature=0.7, seed=2)
    plain = finished(answer(SpeculativeDecoder(broken), "hello", params, 60, drafter="none"))
    assert finished(answer(SpeculativeDecoder(broken), "hello", params, 60)).token_ids == plain.token_ids


def test_prompts_that_cannot_be_answered(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    with pytest.raises(PromptError, match="prompt is empty"):
        decoder.stream([], SamplingParams())
    with pytest.raises(
        PromptError, match=r"prompt is too long: this model's maximum context length is 2048 tokens .*has 3,000"
    ):
        decoder.stream([1] * 3000, SamplingParams())
    with pytest.raises(PromptError, match=r"outside 0\.\.258"):
        decoder.stream([1, 900], SamplingParams())
    with pytest.raises(ConfigError, match="max_tokens is 0"):
        decoder.stream([1], SamplingParams(), 0)
    with pytest.raises(ConfigError, match="lookahead is 40"):
        decoder.stream([1], SamplingParams(), lookahead=40)
    with pytest.raises(ConfigError, match="drafter is 'magic'"):
        SpeculativeDecoder(pair, drafter="magic")
    with pytest.raises(ConfigError, match="loaded without a draft model"):
        SpeculativeDecoder(pair_of(pair.target, None), drafter="model")


def test_the_context_limits_the_answer(pair: ModelPair) -> None:
    small = replace(pair, context_length=50)
    end = finished(list(SpeculativeDecoder(small).stream([5] * 40, SamplingParams(temperature=1, seed=2), 100)))
    assert end.finish_reason == "stop" or len(end.token_ids) == 10


class _OwnCache(KVCache):
    """A kind that nobody knows: it might overwrite what its parent only appends."""


def test_a_cache_that_cannot_be_rolled_back_is_refused_by_name(pair: ModelPair) -> None:
    target = tiny_llama(1)
    target.make_cache = lambda: [_OwnCache() for _ in target.layers]
    refused = pair_of(target, pair.draft)
    with pytest.raises(UnsupportedModelError, match="tiny-target uses a _OwnCache"):
        SpeculativeDecoder(refused)
    decoder = SpeculativeDecoder(refused, drafter="none")
    with pytest.raises(UnsupportedModelError, match="_OwnCache"):
        decoder.stream([1, 2, 3], SamplingParams(), drafter="model")
    assert finished(list(decoder.stream([1, 2, 3], SamplingParams(), 5, drafter="none"))).token_ids


def test_generate_returns_the_text_and_stats_add_up(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(adaptive_lookahead=False))
    text = decoder.generate("hello", SamplingParams(temperature=0.7, seed=2), max_tokens=20)
    end = finished(answer(decoder, "hello", SamplingParams(temperature=0.7, seed=2), 20))
    assert text == end.text
    before = decoder.reset_stats()
    assert before.total_tokens_generated == 2 * len(end.token_ids)
    assert before.rounds > end.stats.rounds
    assert before.tested_tokens > end.stats.tested_tokens > 0
    assert decoder.stats().total_tokens_generated == 0


def test_speedup_is_measured_or_absent(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    assert finished(answer(decoder, "hello", SamplingParams(seed=1), 10)).stats.speedup is None
    step_ms = decoder.calibrate().plain_step_ms
    events = answer(decoder, "hello", SamplingParams(seed=1), 7, lookahead=2)
    stats = finished(events).stats
    assert stats.plain_step_ms == step_ms > 0, "a fixed lookahead watches no times: the calibrated step stands"
    assert {event.plain_step_ms for event in rounds(events)} == {step_ms}
    assert stats.speedup == pytest.approx(stats.total_tokens_generated * step_ms / stats.total_time_ms)
    assert decoder.stats().rounds > 0


def test_an_answer_is_compared_with_the_plain_step_that_its_rounds_were_planned_by(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a step of a quiet machine and a short context, the answer would seem slower than it was expected to be."""
    decoder = SpeculativeDecoder(pair)
    monkeypatch.setattr("mlx_spec.decoding.knowledge.calibrated", lambda *_: Calibration(tuple([1e-3] * 9), 1e-6))
    decoder.calibrate()
    events = answer(decoder, "hello", SamplingParams(seed=1), 40, drafter="model")
    told = [event.plain_step_ms for event in rounds(events)]
    assert told[-1] > 2 * told[0] > 0, "the rounds correct the calibration"
    assert min(told) < finished(events).stats.plain_step_ms <= max(told)


def test_an_answers_own_plain_rounds_say_what_a_plain_step_costs(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calibration of another hour would call plain decoding slower, or faster, than itself."""
    decoder = SpeculativeDecoder(pair, drafter="none")
    monkeypatch.setattr("mlx_spec.decoding.knowledge.calibrated", lambda *_: Calibration((1e6,)))
    decoder.calibrate()
    stats = finished(answer(decoder, "hello", SamplingParams(seed=1), 30)).stats
    assert stats.plain_step_ms < 1e5
    assert 0.2 < stats.speedup < 5
    assert decoder.stats().plain_step_ms == stats.plain_step_ms
