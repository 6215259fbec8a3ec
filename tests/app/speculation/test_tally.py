"""What an answer's rounds add up to, and how often the panel is told."""

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from app.engine.protocol import DraftedToken, Round
from app.speculation.replay import Replay
from app.speculation.tally import Tally, depths, in_reading_order
from app.speculation.trace import TraceViewModel
from app.store.conversation import Answer
from tests.app.speculation.rounds import make_round


def tree() -> Round:
    """Two branches: `a` with `b` and `c` below it, and `d` beside `a`; `a` and `c` were accepted."""
    drafted = (
        DraftedToken("a", 0.6, 0.5, "accepted"),
        DraftedToken("d", 0.1, 0.3, "rejected"),
        DraftedToken("b", 0.2, 0.4, "rejected", parent=0),
        DraftedToken("c", 0.5, 0.3, "accepted", parent=0),
    )
    return replace(make_round(0, 2, 2), drafted=drafted, is_tree=True)


def test_lengths_and_places_are_counted() -> None:
    tally = Tally.of([make_round(0, 3, 3), make_round(1, 0, 4), make_round(2, 1, 4), make_round(3, 0, 0)])
    assert tally.accepted_lengths == [1, 1, 0, 1], "a round that drafted nothing accepted nothing, and does not count"
    assert tally.tested_at == [3, 2, 1]
    assert tally.accepted_at == [2, 1, 1]
    assert (tally.num_rounds, tally.num_drafting) == (4, 3)
    assert tally.host_ms == pytest.approx(40.0)  # 100 ms a round, 10 of them drafting and 80 verifying


def test_a_tally_grows_as_if_counted_at_once() -> None:
    rounds = [make_round(i, i % 4, 4) for i in range(50)]
    grown = Tally()
    for one in rounds:
        grown.add(one)
    assert grown == Tally.of(rounds)


def test_plain_decoding_is_reckoned_with_the_step_of_each_round() -> None:
    """A plain step grows dearer with the context: each round's tokens are priced at the time they came."""
    cheap, dear = (replace(make_round(0, 1, 1), plain_step_ms=ms) for ms in (40.0, 80.0))
    tally = Tally.of([cheap, dear])
    assert tally.plain_tokens_per_second == pytest.approx(4 / 0.24)
    assert tally.speedup == pytest.approx(240 / 200)
    assert Tally.of([make_round(0, 1, 1)]).speedup is None, "nothing was measured"


def test_now_is_the_last_second() -> None:
    slow, fast = [make_round(0, 1, 1, 500.0)] * 10, [make_round(0, 3, 3, 100.0)] * 20
    tally = Tally.of([*slow, *fast])
    assert tally.tokens_per_second_now == pytest.approx(40.0)
    assert tally.tokens_per_second == pytest.approx(100 / 7.0)


def test_a_tree_is_counted_by_depth_and_read_from_its_root() -> None:
    assert depths(tree()) == [0, 0, 1, 1]
    assert [(token.text, depth) for token, depth in in_reading_order(tree())] == [
        ("a", 0),
        ("b", 1),
        ("c", 1),
        ("d", 0),
    ]
    tally = Tally.of([tree()])
    assert (tally.accepted_lengths, tally.tested_at, tally.accepted_at) == ([0, 0, 1], [1, 1], [1, 1])


def test_two_tokens_for_one_place_are_no_chain() -> None:
    drafted = (DraftedToken("a", 0.6, 0.5, "rejected"), DraftedToken("d", 0.1, 0.3, "accepted"))
    tally = Tally.of([replace(make_round(0, 1, 1), drafted=drafted, is_tree=True)])
    assert (tally.tested_at, tally.accepted_at) == ([1], [1])


class TestCoalescing:
    def test_two_hundred_rounds_at_once_are_told_once(self, qtbot: QtBot) -> None:
        trace = TraceViewModel()
        told: list[int] = []
        trace.updated.connect(lambda: told.append(len(trace.rounds)))
        for index in range(200):
            trace.add(make_round(index, 2, 4))
        assert told == [], "not while they arrive"
        qtbot.waitUntil(lambda: bool(told), timeout=2_000)
        assert told == [200], "and then with all of them"
        assert trace.tally.num_rounds == 200

    def test_each_burst_of_a_stream_costs_one_update(self, qtbot: QtBot) -> None:
        trace = TraceViewModel()
        told: list[None] = []
        trace.updated.connect(lambda: told.append(None))
        for burst in range(3):
            for index in range(7):
                trace.add(make_round(index, 2, 4))
            qtbot.waitUntil(lambda burst=burst: len(told) == burst + 1, timeout=2_000)
        assert len(told) == 3

    def test_the_end_is_told_at_once(self, qtbot: QtBot) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, 2, 4))
        from app.engine.protocol import Finished

        with qtbot.waitSignal(trace.updated, timeout=1):
            trace.finish(Finished("stop", 1, 1, 1, 1.0, {"tokens_per_second": 7.0}))
        assert trace.tokens_per_second == 7.0


class TestReplay:
    def make(self, num_rounds: int, round_ms: float = 100.0) -> tuple[TraceViewModel, Replay]:
        trace = TraceViewModel()
        replay = Replay(trace)
        rounds = [make_round(index, index % 3, 2, round_ms) for index in range(num_rounds)]
        trace.show(Answer(seed=1, rounds=rounds, state="finished"))
        return trace, replay

    def test_figures_are_those_of_the_moment(self, qtbot: QtBot) -> None:
        trace, replay = self.make(9)
        whole = trace.tokens_per_round
        replay.seek(1)
        assert (trace.num_shown, trace.tokens_per_round, trace.passes_saved) == (1, 1.0, 0)
        replay.seek(3)
        assert trace.tokens_per_round == pytest.approx(2.0)
        replay.seek(9)
        assert trace.playhead is None, "at the end the answer is whole"
        assert trace.tokens_per_round == whole

    def test_it_plays_to_the_end_and_stops(self, qtbot: QtBot) -> None:
        _, replay = self.make(6, round_ms=1.0)
        seen: list[int] = []
        replay.changed.connect(lambda: seen.append(replay.place))
        replay.play()
        qtbot.waitUntil(lambda: not replay.is_playing and replay.place == 6, timeout=5_000)
        assert seen[0] == 0, "from the beginning"
        assert seen == sorted(seen)

    def test_another_answer_ends_it(self, qtbot: QtBot) -> None:
        trace, replay = self.make(6)
        replay.seek(2)
        replay.play()
        trace.show(None)
        assert not replay.is_playing
        assert (trace.playhead, replay.length, replay.is_possible) == (None, 0, False)

    def test_an_answer_under_way_is_not_replayed(self, qtbot: QtBot) -> None:
        trace, replay = TraceViewModel(), None
        replay = Replay(trace)
        trace.show(Answer(seed=1, state="streaming"))
        for index in range(4):
            trace.add(make_round(index, 1, 2))
        replay.play()
        assert not replay.is_playing
