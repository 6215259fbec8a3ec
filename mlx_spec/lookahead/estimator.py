"""What every possible round is expected to bring, in tokens and milliseconds, learnt from the rounds before it.

Decides nothing: the cost controller plans by what stands here. Values and floats only; knows no model and no clock.
"""

from collections.abc import Sequence
from typing import Final

from mlx_spec.acceptance.tree import Shape
from mlx_spec.lookahead.candidate import Candidate, Offer
from mlx_spec.lookahead.costs import Calibration, DraftTimes, VerifyTimes, expected_round
from mlx_spec.lookahead.experience import Experience, acceptance_of, rates_of
from mlx_spec.lookahead.odds import Acceptance, PriorDiscount, Ratio, expected_tree
from mlx_spec.lookahead.plan import Observation, Option

CHEAP_STEPS: Final = 2.0
"""So many plain steps are little: reading is called cheap up to this, and as much may be saved up for trials."""
# Of a plain step, for a token.
_CHEAP_READING: Final = 0.02
# Beyond the usual lengths not all are weighed: each width of a pass has a graph of its own, and these are widths to
# which passes are padded.
_LONG: Final = (11, 15, 23, 31)
# What it takes to read so many is no part of a trial's price, as long as that is cheap.
_FEW_TO_READ: Final = CHEAP_STEPS / _CHEAP_READING


class Estimator:
    """Learns what passes and drafts take and how drafts fare, by drafter, and estimates each round by that."""

    def __init__(
        self,
        max_lookahead: int,
        shapes: Sequence[Shape],
        calibration: Calibration | None = None,
        experience: Experience | None = None,
    ) -> None:
        """Chains have up to `max_lookahead` tokens, trees one of the `shapes`. `experience` counts only with a
        `calibration`, as its times are shares of a plain step."""
        self._max_lookahead, self._shapes = max_lookahead, shapes
        self.verify = VerifyTimes(calibration)
        """What a pass of the target takes."""
        self._draft_times: dict[str, DraftTimes] = {}
        self._acceptance: dict[tuple[str, int], Acceptance] = {}
        self._stops_early = False  # whether drafts were seen that ended where they grew unsure
        self._priors: dict[tuple[str, int], Acceptance] = {}  # nothing but the priors, shared by all texts
        if calibration is not None:
            self._remember(experience or Experience(), calibration.plain_step_ms)
            self._draft_times["model"] = DraftTimes(calibration.draft_step_ms, calibration.draft_token_ms)
        self._discount = PriorDiscount()
        self._acceptance_ratio: dict[str, float] = {}
        # What dynamic trees bring over what the ranks of their guesses let expect, by drafter.
        self._dynamic_gain: dict[str, Ratio] = {}

    def _remember(self, experience: Experience, plain_step_ms: float) -> None:
        for name, (step, reading) in experience.draft_steps.items():
            self._draft_times[name] = DraftTimes(step * plain_step_ms, reading * plain_step_ms)
        for name, rates in experience.accepted.items():
            drafter, _, trust = name.rpartition("/")
            acceptance = self._priors[drafter, int(trust)] = acceptance_of(rates)
            self._stops_early |= any(rate.mean < 1.0 for rate in acceptance.prior_drafted)

    def another(self) -> "Estimator":
        """For a text that is answered at the same time: what is learnt of the machine, and of texts altogether, they
        learn for each other."""
        other = Estimator(self._max_lookahead, self._shapes)
        other.verify, other._draft_times, other._priors = self.verify, self._draft_times, self._priors
        other._dynamic_gain, other._stops_early = self._dynamic_gain, self._stops_early
        return other

    @property
    def experience(self) -> Experience:
        """What the next process may begin with."""
        plain_ms = self.verify.at(1)
        accepted = {}
        for (drafter, trust), acceptance in (self._priors | self._acceptance).items():
            if rates := rates_of(acceptance):
                accepted[f"{drafter}/{trust}"] = rates
        steps = {name: times.shares_of(plain_ms) for name, times in self._draft_times.items() if times.known}
        return Experience(accepted, steps)

    def begin(self) -> None:
        """Another text: what the machine costs stays true; what its context costs and how drafts fare is to be learnt
        again."""
        self.verify.begin()
        for times in self._draft_times.values():
            times.begin()
        self.learn_text()
        self._discount.begin()
        self._acceptance_ratio.clear()

    def learn_text(self) -> None:
        """The text at hand is over: it counts among those that are known. Twice is once."""
        for acceptance in self._acceptance.values():
            acceptance.begin()

    def plain(self) -> Candidate:
        """A plain step."""
        return Candidate(None, 0, 1.0, self.verify.at(1))

    def drafts(self, options: Sequence[Option], room: int) -> list[Candidate]:
        """Every round that drafts: each option's chains of up to `room` tokens, and its trees where it may branch."""
        return [candidate for option in options for candidate in self._drafts_of(option, room)]

    def likely_rows(self, longest: int) -> list[int]:
        """The rows of the passes over chains of about `longest` tokens, the likeliest first: fewer where drafts end
        when they grow unsure; and of a plain step, which is measured now and then."""
        widest = longest + 1
        drafted = range(2, widest + 1) if self._stops_early else (widest, widest - 1, widest + 1)
        return list(dict.fromkeys([*map(self.verify.rows, drafted), 1]))

    def acceptance_ratio(self, option: Option) -> float:
        """Running mean of min(1, p/q) over the drafter's tested tokens in this text; 1 where nothing was tested."""
        return self._acceptance_ratio.get(option.drafter, 1.0)

    def cheap_reading_ms(self, option: Option | None) -> float:
        """What it takes a drafter to read what it fell behind by, where that is cheap, else 0; at most two steps.

        It reads each token once, however often it is tried, so that this is no part of what a trial costs. Were it one,
        a drafter that falls behind faster than can be spent on trials would never be tried again. But a long prompt
        that was not read yet is dearer than what is left of an answer may bring.
        """
        times = self._draft_times.get(option.drafter) if option is not None else None
        if option is None or times is None or times.at(0.0, 1) > _CHEAP_READING * self.verify.at(1):
            return 0.0
        return min(times.at(0.0, option.behind), CHEAP_STEPS * self.verify.at(1))

    def observe(self, option: Option, round_: Observation) -> None:
        """Learn from a round that `option` drafted for; what its pass took, `verify` is told by itself."""
        # One that had nothing to propose took no time worth learning, and so did one that took all from a grammar.
        if round_.drafted and not round_.shared and (round_.passes or not option.forced):
            times = self._draft_times.setdefault(option.drafter, DraftTimes(0.0))
            beside = 0 if round_.shape is None else _read_beside(round_.shape)
            times.observe(max(1, round_.passes), option.behind + beside, round_.draft_ms)
        if round_.tested and option.guess is None:  # what a client predicts says nothing of how hard a text is
            right = round_.accepted > 0 if round_.shape is None else round_.hits[0][1] == 1
            self._discount.observe(option.drafter, right, self._of(option).prior(0))
        acceptance = self._of(option)
        if round_.shape is None:
            self._stops_early |= 0 < round_.passes < round_.asked and round_.drafted < round_.asked
            acceptance.observe(round_.asked, round_.drafted, round_.tested, round_.accepted)
        else:
            if round_.shape.nodes is not None:
                expected = expected_tree(acceptance, round_.shape)
                self._dynamic_gain.setdefault(option.drafter, Ratio()).observe(round_.accepted, expected - 1.0)
            acceptance.observe_tree(round_.hits)
        for ratio in round_.ratios:
            self._acceptance_ratio[option.drafter] = 0.9 * self.acceptance_ratio(option) + 0.1 * min(1.0, ratio)

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None:
        """Learn acceptance from a proposal that was only compared with what the target said."""
        self._of(option).observe(proposed, proposed, min(proposed, accepted + 1), accepted)

    def offer(self, option: Option, room: int) -> Offer:
        """What chains of up to `room` tokens by this drafter promise in a step that answers share."""
        longest = self._longest(option, room)
        step_ms, token_ms = self.costs_of(option.drafter)
        unread_ms = self._draft_ms(option, 0.0)
        dear_ms = unread_ms - self.cheap_reading_ms(option)
        return Offer(option, self._of(option).rates(longest), step_ms, token_ms, unread_ms, dear_ms)

    def costs_of(self, drafter: str) -> tuple[float, float]:
        """What a pass of it takes for one answer, and each further token in it; 0 where that is unknown."""
        times = self._draft_times.get(drafter, DraftTimes(0.0))
        return times.at(1.0), times.at(0.0, 1)

    def _of(self, option: Option) -> Acceptance:
        key = option.drafter, option.trust
        if key not in self._acceptance:
            self._acceptance[key] = self._priors.setdefault(key, Acceptance()).another()
        acceptance = self._acceptance[key]
        acceptance.discount = self._discount.of(option.drafter)
        if option.guess is not None:
            acceptance.discount, acceptance.first_guess = 1.0, option.guess
        return acceptance

    def _longest(self, option: Option, room: int) -> int:
        return min(option.limit, room) if option.guess is not None else min(option.limit, room, self._max_lookahead)

    def _drafts_of(self, option: Option, room: int) -> list[Candidate]:
        longest = self._longest(option, room)
        rates = self._of(option).rates(longest)
        candidates = []
        steps, reached = 0.0, 1.0
        for length in range(1, longest + 1):
            reached *= rates[length - 1][0] if self._stops_early else 1.0
            steps += reached if length > option.forced else 0.0
            if length > self._max_lookahead and length not in _LONG and not length == longest < _LONG[-1]:
                continue
            draft_ms = self._draft_ms(option, steps)
            candidates.append(Candidate(option, length, *expected_round(self.verify, draft_ms, rates[:length])))
        return candidates + (self._trees_of(option, room) if option.trees else [])

    def _trees_of(self, option: Option, room: int) -> list[Candidate]:
        candidates = []
        acceptance, dynamic_gain = self._of(option), self._dynamic_gain.get(option.drafter, Ratio()).value
        for shape in self._shapes:
            if shape.depth <= room:
                gain = dynamic_gain if shape.nodes is not None else 1.0
                tokens = 1.0 + (expected_tree(acceptance, shape) - 1.0) * gain
                spent = self._draft_ms(option, shape.depth, _read_beside(shape)) + self.verify.at(shape.size + 1)
                candidates.append(Candidate(option, shape.depth, tokens, spent, shape))
        return candidates

    def _draft_ms(self, option: Option, steps: float, beside: int = 0) -> float:
        """What a draft of `steps` passes is expected to take. A long text that is still to be read, at a price that
        nobody knows, is taken to be as dear as is just called cheap."""
        times = self._draft_times.get(option.drafter, DraftTimes(0.0))
        expected = times.at(steps, option.behind + beside)
        if not times.knows_reading and option.behind > _FEW_TO_READ:
            expected += _CHEAP_READING * self.verify.at(1) * (option.behind - _FEW_TO_READ)
        return expected


def _read_beside(shape: Shape) -> int:
    """Tokens of a tree's levels that a drafter reads beside the first of each; the last level is not read."""
    return sum(width - 1 for width in shape.widths[:-1])
