"""What follows from the times of answers: the arithmetic of rates, waits, gaps and percentiles."""

from dataclasses import replace

import pytest

from mlx_spec.bench.paired.serving import figures
from mlx_spec.bench.paired.serving.answers import Arrival
from tests.bench.paired.served_answers import an_answer, served


class TestFigures:
    def test_all_tokens_are_over_the_time_from_the_first_question_to_the_last_text_of_each_wave(self) -> None:
        waves = ([an_answer(1.0, 3.0), an_answer(2.0, 4.0, asked=0.5)], [an_answer(0.5, 2.0, tokens=4)])
        assert figures.rate_of(served("ours", *waves)) == pytest.approx(24 / (4.0 + 2.0))
        assert figures.rate_of(served("ours", [an_answer(tokens=0)])) is None

    def test_a_wait_begins_with_its_own_question(self) -> None:
        answers = [an_answer(1.0, 3.0, asked=0.5), an_answer(2.5, 3.0, asked=0.5), an_answer(9.0, asked=0.0)]
        times = figures.first_texts([*answers, an_answer()])
        assert times == figures.Times(median=2.0, p95=pytest.approx(2.0 + 0.9 * 7.0), count=3)

    def test_a_token_is_of_the_answer_and_a_gap_between_texts_that_may_hold_several(self) -> None:
        answer = an_answer(1.0, 2.0, 5.5, tokens=10)
        assert answer.token_s == pytest.approx(4.5 / 9)
        assert figures.gap_times([answer]) == figures.Times(2.25, pytest.approx(1.0 + 0.95 * 2.5), 2)
        assert an_answer(1.0, tokens=10).token_s is None, "all came at once"
        assert figures.tokens_times([an_answer(1.0)]) is None

    def test_ratios_are_within_a_turn(self) -> None:
        runs = [
            served("ours", [an_answer(1.0, 2.0)], turn=0),  # 5 tokens/s
            served("theirs", [an_answer(0.5, 4.0)], turn=0),  # 2.5
            served("ours", [an_answer(2.0, 10.0)], turn=1),  # 1
            served("theirs", [an_answer(0.5, 1.0)], turn=1),  # 10
            served("theirs", [an_answer(0.1, 0.2)], turn=2),  # nobody to compare with
        ]
        (ratios,) = figures.ratios_of(runs, "ours", "theirs")
        assert ratios.rate is not None
        assert (ratios.rate.least, ratios.rate.greatest, ratios.rate.count) == pytest.approx((0.1, 2.0, 2))
        assert ratios.first_text is not None
        assert (ratios.first_text.least, ratios.first_text.greatest) == pytest.approx((2.0, 4.0))
        assert figures.ratios_of(runs, "ours", "before") == []

    def test_rows_are_by_number_and_side_and_count_words_and_failures(self) -> None:
        runs = [
            served("theirs", [an_answer(1.0, 2.0, same_alone=False)], at_once=4),
            served("ours", [an_answer(1.0, 2.0, same_alone=True), an_answer(error="Gone.")], at_once=4),
            served("ours", [an_answer(1.0, 2.0)], at_once=1),
        ]
        rows = figures.figures_of(runs)
        assert [(row.at_once, row.side, row.words, row.failed) for row in rows] == [
            (1, "ours", None, 0),
            (4, "ours", figures.Words(1, 1), 1),
            (4, "theirs", figures.Words(0, 1), 0),
        ]


class TestArrivalFigures:
    WRITERS = (an_answer(1.0, 2.0, 3.0, 4.0, 9.0, 10.0, 22.0), an_answer(0.5, 2.5, 3.5, 5.5))
    LATE = an_answer(10.5, 11.0, asked=4.5)

    def test_the_usual_gap_is_that_before_and_the_longest_that_until_the_late_ones_first_text(self) -> None:
        arrival = Arrival("ours", 0, self.WRITERS, self.LATE)
        assert figures.usual_gap(arrival) == 1.0, "of 1, 1, 1 and 2, 1; the gap that was open is not among them"
        assert figures.longest_gap(arrival) == 12.0, "it was open when the late one's first text came"
        assert figures.gap_multiple(arrival) == 12.0
        assert figures.writing_at(arrival) == 2
        sooner = replace(arrival, late=an_answer(9.5, asked=4.5))
        assert figures.longest_gap(sooner) == 5.0, "what came behind its first text is no longer of its making"

    def test_what_came_before_is_not_of_its_making_and_what_came_behind_is_not_usual(self) -> None:
        slower = Arrival("ours", 0, (an_answer(1.0, 2.0, 3.0, 8.0, 13.0, 18.0),), an_answer(7.0, asked=3.5))
        assert figures.usual_gap(slower) == 1.0
        sooner = Arrival("ours", 0, (an_answer(1.0, 21.0, 22.0, 23.0),), an_answer(22.5, asked=21.5))
        assert figures.longest_gap(sooner) == 1.0

    def test_who_had_ended_or_not_begun_was_not_writing(self) -> None:
        writers = (an_answer(1.0, 2.0), an_answer(5.0, 6.0), an_answer(), an_answer(1.0, 5.0))
        arrival = Arrival("ours", 0, writers, an_answer(6.0, asked=4.5))
        assert figures.writing_at(arrival) == 1

    def test_without_a_first_text_it_is_until_the_end_and_without_gaps_there_is_nothing(self) -> None:
        silent = replace(self.LATE, text_s=(), end_s=8.0)
        assert figures.longest_gap(Arrival("ours", 0, self.WRITERS, silent)) == 5.0
        nobody = Arrival("ours", 0, (an_answer(),), self.LATE)
        assert figures.usual_gap(nobody) is figures.longest_gap(nobody) is figures.gap_multiple(nobody) is None

    def test_multiples_are_compared_turn_by_turn(self) -> None:
        quick = (an_answer(1.0, 2.0, 3.0, 6.0),)
        arrivals = [
            Arrival("theirs", 0, self.WRITERS, self.LATE),
            Arrival("ours", 0, quick, an_answer(5.0, asked=3.0)),
            Arrival("ours", 1, quick, an_answer(5.0, asked=3.0)),
        ]
        ratio = figures.multiple_ratio(arrivals, "ours", "theirs")
        assert ratio is not None
        assert (ratio.median, ratio.count) == (3.0 / 12.0, 1)
        assert [row.side for row in figures.arrival_figures(arrivals)] == ["ours", "theirs"]
