"""The course of one answer: figures that follow from its rounds, until the engine tells its own."""

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from app.engine.protocol import Finished
from app.speculation.trace import TraceViewModel
from app.store.conversation import Answer
from tests.app.speculation.rounds import make_round


@pytest.mark.usefixtures("qapp")
class TestTrace:
    def test_nothing_is_claimed_before_the_first_round(self) -> None:
        trace = TraceViewModel()
        assert (trace.tokens_per_second, trace.tokens_per_round, trace.acceptance_rate, trace.passes_saved) == (
            None,
        ) * 4

    def test_the_figures_follow_from_the_rounds(self) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, num_accepted=3, num_drafted=3))
        trace.add(make_round(1, num_accepted=1, num_drafted=4))
        assert trace.tokens_per_round == pytest.approx(3.0)  # (4 + 2) / 2
        assert trace.tokens_per_second == pytest.approx(30.0)  # 6 tokens in 0.2 s
        assert trace.acceptance_rate == pytest.approx(4 / 5)  # the two after the rejection were never tested
        assert trace.passes_saved == 4

    def test_mostly_parked_is_told_once_there_are_rounds_enough(self) -> None:
        trace = TraceViewModel()
        parked = replace(make_round(0, 0, 0), is_parked=True)
        for _ in range(7):
            trace.add(parked)
        assert not trace.is_parked, "too early to say"
        trace.add(parked)
        assert trace.is_parked
        for _ in range(8):
            trace.add(make_round(1, 3, 3))
        assert not trace.is_parked, "half is not most"
        trace.show(None)
        assert trace.tally.num_parked == 0

    @pytest.mark.parametrize(
        ("stats", "is_lossy"), [({}, False), ({"lossless": True}, False), ({"lossless": False}, True)]
    )
    def test_lossy_is_what_the_engine_says_is(self, stats: dict, is_lossy: bool) -> None:
        trace = TraceViewModel()
        assert not trace.is_lossy
        trace.finish(Finished("stop", 1, 1, 1, 1.0, stats))
        assert trace.is_lossy == is_lossy

    def test_another_answer_replaces_the_figures(self, qtbot: QtBot) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, 3, 3))
        with qtbot.waitSignal(trace.reset):
            trace.show(Answer(seed=1, rounds=[make_round(0, 0, 2)]))
        assert trace.tokens_per_round == 1

    @pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (None, None), ("fast", None)])
    def test_a_speedup_is_measured_or_not_told(self, value: object, expected: float | None) -> None:
        trace = TraceViewModel()
        trace.finish(Finished("stop", 1, 1, 1, 1.0, {"speedup": value}))
        assert trace.speedup is None, "nothing was drafted, so nothing was gained or lost"
        trace.add(make_round(0, 3, 3))
        assert trace.speedup == expected

    def test_the_engines_own_numbers_replace_ours(self) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, 3, 3))
        stats = {"tokens_per_second": 12.5, "mean_accepted_length": 2.5, "target_passes_saved": 9}
        trace.finish(Finished("stop", 1, 1, 1, 1.0, stats))
        assert (trace.tokens_per_second, trace.tokens_per_round, trace.passes_saved) == (12.5, 2.5, 9)
        assert trace.acceptance_rate == 1.0
