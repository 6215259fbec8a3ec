"""The cost controller: the round that promises most tokens a millisecond, by what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.costs import Calibration, DraftTimes, VerifyTimes, expected_round
from mlx_spec.lookahead.experience import Experience, Rates
from mlx_spec.lookahead.odds import Acceptance, Outlook, Rate, Ratio, expected_tree
from mlx_spec.lookahead.plan import Observation, Option, Plan, chain_by_first

# It changes its mind for a gain of this much, and no less: costs are noisy.
_WORTH_CHANGING: Final = 1.01
_WORTH_RESUMING: Final = 1.03
_TRIES_SHARE: Final = 0.01
_FEWEST_ROUNDS_BETWEEN_TRIES: Final = 6
# Of a plain step, for a token.
_CHEAP_READING: Final = 0.02
_FULL_PURSE_STEPS: Final = 2.0
# What it takes to read so many is no part of a try's price, as long as that is cheap.
_FEW_TO_READ: Final = _FULL_PURSE_STEPS / _CHEAP_READING
# The less a draft promises, the more depends on what a plain step costs, and the less it costs to look.
_PLAIN_STEPS_SHARE: Final = 0.005
_PLAIN_TRIES: Final = 4
# Where the cost of rows makes a step down, it does so at a multiple of this.
_PADDED_TO: Final = 16
_EVERY_WIDTH: Final = 16
# What other processes saw weighs no more than so many texts of this one.
_MOST_TEXTS: Final = 16.0
_BEST_NODES: Final = (4, 6, 8, 12, 16, 24, 32, 48, 64)


@dataclass(slots=True)
class _Choice:
    """One possible round and what it is expected to bring."""

    option: Option | None
    length: int
    tokens: float
    milliseconds: float
    shape: Shape | None = None

    @property
    def rate(self) -> float:
        """Tokens a millisecond."""
        return self.tokens / self.milliseconds

    def is_longer(self, other: "_Choice") -> bool:
        """Whether it is the other with one more token behind it."""
        if self.option != other.option or self.length != other.length + 1:
            return False
        if self.shape is None or other.shape is None:
            return self.shape is other.shape
        return self.shape.nodes is None and self.shape.branching[:-1] == other.shape.branching

    def is_like(self, other: "_Choice | None") -> bool:
        """Whether it is the same decision, apart from how sure the drafter is this time."""
        if other is None or self.length != other.length or self.shape != other.shape:
            return False
        return (self.option and self.option.drafter) == (other.option and other.option.drafter)


class CostLookahead:
    """Plans the round that promises most tokens a millisecond, from measured times and acceptance.

    Length 0 is a choice: where no draft pays it parks. It then tries a draft now and then, as often as costs at most
    1 % of the time, and resumes when a try, or a glimpse that cost nothing, promises a gain again. Where a draft pays
    it measures a plain step as often as costs half a per cent, which is the oftener the less the draft brings. Changes
    need a gain of 1 % (3 % to resume), so that noise does not make it swing. One instance serves all answers of a
    decoder: what it learnt about the machine and the drafters stays true.
    """

    def __init__(
        self,
        config: SpeculativeConfig,
        calibration: Calibration | None = None,
        experience: Experience | None = None,
    ) -> None:
        self._config = config
        self._verify = VerifyTimes(calibration)
        self._draft_times: dict[str, DraftTimes] = {}
        self._acceptance: dict[tuple[str, int], Acceptance] = {}
        self._stops_early = False  # the draft takes no pass behind its end
        if calibration is not None:
            self._remember(experience or Experience(), calibration.plain_step_ms)
            self._draft_times["model"] = DraftTimes(calibration.draft_step_ms, calibration.draft_token_ms)
        self._outlook = Outlook()
        self._likeness: dict[str, float] = {}
        self._last: _Choice | None = None
        self._purse_ms = 0.0
        self._since_try = self._since_plain = 0
        self._plain_wanted = 0  # how often to try: the costs have changed, and no plain step was measured since
        self._usual_rate: float | None = None  # tokens a millisecond without the try that is under way
        self._shapes = tree_shapes(config)
        # How much more, or less, trees grown by probability bring than the ranks of their guesses promise, by drafter.
        self._worth: dict[str, Ratio] = {}

    def _remember(self, experience: Experience, plain_step_ms: float) -> None:
        for name, (step, reading) in experience.draft_steps.items():
            self._draft_times[name] = DraftTimes(step * plain_step_ms, reading * plain_step_ms)
        for name, rates in experience.accepted.items():
            drafter, _, trust = name.rpartition("/")
            usual = [Rate(min(texts, _MOST_TEXTS), share) for share, _, texts in rates]
            drafted = [Rate(min(texts, _MOST_TEXTS), share) for _, share, texts in rates]
            self._acceptance[drafter, int(trust)] = Acceptance(usual=usual, usually_drafted=drafted)
            self._stops_early |= any(rate.mean < 1.0 for rate in drafted)

    @property
    def experience(self) -> Experience:
        """What the next process may begin with."""
        plain_ms = self._verify.at(1)
        accepted = {}
        for (drafter, trust), acceptance in self._acceptance.items():
            if rates := rates_of(acceptance):
                accepted[f"{drafter}/{trust}"] = rates
        steps = {name: times.shares_of(plain_ms) for name, times in self._draft_times.items() if times.known}
        return Experience(accepted, steps)

    def begin(self) -> None:
        """Another answer: what the machine costs stays true. What its context costs and how drafts fare is to be learnt
        again, and no debt is left of tries: with a long context one costs what a short text saves up in a hundred
        rounds."""
        self._verify.begin()
        for times in self._draft_times.values():
            times.begin()
        for acceptance in self._acceptance.values():
            acceptance.begin()
        self._outlook.begin()
        self._likeness.clear()
        self._purse_ms = max(0.0, self._purse_ms)

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The best round by expectation, or a try that is due."""
        self._usual_rate = None
        if opening := self._opening(options, room):
            return opening
        plain = _Choice(None, 0, 1.0, self._verify.at(1))
        choices = [choice for option in options for choice in self._choices(option, room)]
        if not choices:
            self._last = plain
            return Plan(None, 0, "nothing to draft")
        allowed = [choice for choice in choices if self._credible(choice.option)]
        best = max([plain, *allowed], key=lambda choice: choice.rate)
        chosen = self._settle(best, [plain, *allowed])
        trial = self._due_try(chosen, choices, plain)
        if trial is not None:
            self._usual_rate, self._since_try = chosen.rate, 0
            if trial.option is None:
                return Plan(None, 0, "a try: what a plain step costs now")
            return self._plan_for(trial, f"a try: {self._gain(trial, plain)}")
        self._last = chosen
        if chosen.option is None:
            rival = max(choices, key=lambda choice: choice.rate)
            return Plan(None, 0, f"parked: {self._gain(rival, plain)} with {rival.length} drafted", parked=True)
        return self._plan_for(chosen, self._gain(chosen, plain))

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        """Whether any draft promises more than a plain step, or nothing is known yet."""
        if self._verify.known_widths < 2:
            return True
        plain = _Choice(None, 0, 1.0, self._verify.at(1))
        choices = [choice for option in options for choice in self._choices(option, room)]
        return any(choice.rate > plain.rate and self._credible(choice.option) for choice in choices)

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        """Those of the best chain, shorter where it ends when it grows unsure, and of a plain step, which is measured
        now and then."""
        choices = [choice for option in options for choice in self._choices(option, room)]
        if not choices:
            return (1,)
        best = max(choices, key=lambda choice: choice.rate)
        longest = best.length + 1
        drafted = range(2, longest + 1) if self._stops_early else (longest, longest - 1, longest + 1)
        return list(dict.fromkeys([*map(self._verify.rows, drafted), 1]))

    def rows(self, count: int) -> int:
        """As many as the cheapest pass over at least so many has."""
        return self._verify.rows(count)

    def observe(self, round_: Observation) -> None:
        """Learn times and acceptance from a round."""
        self._since_try += 1
        width = round_.rows
        self._since_plain += 1
        # Better a doubtful time than none: where nothing is known nothing is drafted.
        waited_long = self._verify.known_widths == 0 and self._since_try > _FEWEST_ROUNDS_BETWEEN_TRIES
        if round_.telling or waited_long:
            self._verify.observe(width, round_.verify_ms)
            if self._verify.surprises >= 2:
                self._plain_wanted = _PLAIN_TRIES
            if width == 1:
                self._since_plain = self._plain_wanted = 0
        spent = round_.draft_ms + (round_.verify_ms if round_.telling else self._verify.at(width))
        self._purse_ms = min(self._purse_ms + _TRIES_SHARE * spent, _FULL_PURSE_STEPS * self._verify.at(1))
        option = round_.option
        if option is None or round_.asked == 0:
            return
        if self._usual_rate is not None:
            needed = spent - self._cheap_reading_ms(option)
            self._purse_ms -= needed - (round_.accepted + 1) / self._usual_rate
        if round_.drafted:  # one that had nothing to propose took no time worth learning
            times = self._draft_times.setdefault(option.drafter, DraftTimes(0.0))
            beside = 0 if round_.shape is None else _beside(round_.shape)
            times.observe(max(1, round_.passes), option.behind + beside, round_.draft_ms)
        if round_.tested:
            right = round_.accepted > 0 if round_.shape is None else round_.hits[0][1] == 1
            self._outlook.observe(option.drafter, right, self._of(option).promise)
        acceptance = self._of(option)
        if round_.shape is None:
            self._stops_early |= 0 < round_.passes < round_.asked
            acceptance.observe(round_.asked, round_.drafted, round_.tested, round_.accepted)
        else:
            if round_.shape.nodes is not None:
                promised = expected_tree(acceptance, round_.shape)
                self._worth.setdefault(option.drafter, Ratio()).observe(round_.accepted, promised - 1.0)
            acceptance.observe_tree(round_.hits)
        for ratio in round_.ratios:
            self._likeness[option.drafter] = 0.9 * self._likeness.get(option.drafter, 1.0) + 0.1 * min(1.0, ratio)

    def glimpse(self, option: Option, proposed: int, accepted: int) -> None:
        """Learn acceptance from a proposal that was only compared with what the target said."""
        self._of(option).observe(proposed, proposed, min(proposed, accepted + 1), accepted)

    @property
    def plain_step_ms(self) -> float | None:
        """The calibrated step, as every pass since has corrected it: what its own expectations are measured against."""
        return self._verify.at(1) if self._verify.known_widths else None

    def _opening(self, options: Sequence[Option], room: int) -> Plan | None:
        """Where nothing was calibrated, a plain step and a draft of the configured length show what each costs."""
        if self._verify.known_widths >= 2:
            return None
        if self._verify.known_widths == 0:
            return Plan(None, 0, "measuring a plain step")
        plan = chain_by_first(options, min(self._config.lookahead, room), "measuring a draft")
        return plan if plan.length else None

    def _of(self, option: Option) -> Acceptance:
        acceptance = self._acceptance.setdefault((option.drafter, option.trust), Acceptance())
        acceptance.outlook = self._outlook.of(option.drafter)
        return acceptance

    def _choices(self, option: Option, room: int) -> list[_Choice]:
        longest = min(option.limit, room, self._config.max_lookahead)
        rates = self._of(option).rates(longest)
        choices = []
        steps, reached = 0.0, 1.0
        for length in range(1, longest + 1):
            reached *= rates[length - 1][0] if self._stops_early else 1.0
            steps += reached
            draft_ms = self._draft_ms(option, steps)
            choices.append(_Choice(option, length, *expected_round(self._verify, draft_ms, rates[:length])))
        return choices + (self._trees(option, room) if option.trees else [])

    def _trees(self, option: Option, room: int) -> list[_Choice]:
        choices = []
        acceptance, grown_worth = self._of(option), self._worth.get(option.drafter, Ratio()).value
        for shape in self._shapes:
            if shape.depth <= room:
                worth = grown_worth if shape.nodes is not None else 1.0
                tokens = 1.0 + (expected_tree(acceptance, shape) - 1.0) * worth
                spent = self._draft_ms(option, shape.depth, _beside(shape)) + self._verify.at(shape.size + 1)
                choices.append(_Choice(option, shape.depth, tokens, spent, shape))
        return choices

    def _draft_ms(self, option: Option, steps: float, beside: int = 0) -> float:
        """What a draft of `steps` passes is expected to take. A long text that is still to be read, at a price that
        nobody knows, is taken to be as dear as is just called cheap."""
        times = self._draft_times.get(option.drafter, DraftTimes(0.0))
        expected = times.at(steps, option.behind + beside)
        if not times.knows_reading and option.behind > _FEW_TO_READ:
            expected += _CHEAP_READING * self._verify.at(1) * (option.behind - _FEW_TO_READ)
        return expected

    def _credible(self, option: Option | None) -> bool:
        """Whether the target finds this drafter's tokens probable enough (`min_acceptance_ratio`)."""
        return option is None or self._likeness.get(option.drafter, 1.0) >= self._config.min_acceptance_ratio

    def _settle(self, best: _Choice, choices: list[_Choice]) -> _Choice:
        """The best choice, or the one of the last round where the difference is not worth a change."""
        for choice in choices:
            if choice.is_like(self._last):
                parked = choice.option is None and best.option is not None
                needed = _WORTH_RESUMING if parked else _WORTH_CHANGING
                return choice if best.rate < needed * choice.rate else best
        return best

    def _due_try(self, chosen: _Choice, choices: list[_Choice], plain: _Choice) -> _Choice | None:
        """Another round that is worth its price for what it would teach: the best draft while parked, else one token
        more than is usual, or a plain step."""
        if chosen.option is not None and self._plain_wanted and self._since_plain >= 2:
            self._plain_wanted -= 1
            return plain  # all costs are measured against a plain step
        if self._since_try < _FEWEST_ROUNDS_BETWEEN_TRIES:
            return None
        if chosen.option is None:
            rival = max(choices, key=lambda choice: choice.rate)
        else:
            lost_ms = plain.milliseconds - plain.tokens / chosen.rate
            if lost_ms <= _PLAIN_STEPS_SHARE * plain.milliseconds * self._since_plain:
                return plain
            longer = [c for c in choices if c.is_longer(chosen)]
            if not longer:
                return None
            rival = longer[0]
        price = rival.milliseconds - self._cheap_reading_ms(rival.option) - rival.tokens / chosen.rate
        return rival if price <= self._purse_ms else None

    def _cheap_reading_ms(self, option: Option | None) -> float:
        """What it takes a drafter to read what it fell behind by, where that is cheap, else 0; at most two steps.

        It reads each token once, however often it is tried, so that this is no part of what a try costs. Were it one, a
        drafter that falls behind faster than can be spent on tries would never be tried again. But a long prompt that
        was not read yet is dearer than what is left of an answer may bring.
        """
        times = self._draft_times.get(option.drafter) if option is not None else None
        if option is None or times is None or times.at(0.0, 1) > _CHEAP_READING * self._verify.at(1):
            return 0.0
        return min(times.at(0.0, option.behind), _FULL_PURSE_STEPS * self._verify.at(1))

    @staticmethod
    def _gain(choice: _Choice, plain: _Choice) -> str:
        return f"{choice.rate / plain.rate:.2f}x plain expected"

    @staticmethod
    def _plan_for(choice: _Choice, reason: str) -> Plan:
        assert choice.option is not None
        return Plan(choice.option.drafter, choice.length, reason, shape=choice.shape)


def tree_shapes(config: SpeculativeConfig) -> tuple[Shape, ...]:
    """The trees that are weighed: branching once, twice, everywhere, and grown by probability to several sizes."""
    if not config.tree_speculation or config.tree_branching_factor == 1:
        return ()
    largest = largest_tree(config)
    depth, most = config.max_tree_depth, config.tree_branching_factor
    shapes = []
    for length in range(1, depth + 1):
        shapes += [Shape((most,) * wide + (1,) * (length - wide)) for wide in range(1, min(2, length) + 1)]
    shapes = [shape for shape in shapes if shape.size <= largest.size]
    shapes += [Shape(largest.branching, nodes) for nodes in _BEST_NODES if depth < nodes < largest.size]
    return tuple(dict.fromkeys([*shapes, largest]))


def largest_tree(config: SpeculativeConfig) -> Shape:
    """The tree that a configuration allows: whole, or its likeliest `max_tree_nodes` tokens."""
    whole = Shape((config.tree_branching_factor,) * config.max_tree_depth)
    most = config.max_tree_nodes
    return whole if most is None or most >= whole.size else Shape(whole.branching, most)


def rates_of(acceptance: Acceptance) -> Rates:
    """What is to be kept of how a drafter's chains fare."""
    usual, drafted = acceptance.with_this_text()
    return tuple((rate.mean, far.mean, rate.weight) for rate, far in zip(usual, drafted, strict=True))


def pass_widths(config: SpeculativeConfig) -> list[int]:
    """The rows of all passes that may be made: chains and trees with the known token, and what they may be padded to.

    Of wide trees not every width: any is padded to the next one."""
    largest = largest_tree(config).size if config.tree_speculation else 0
    used = max(config.max_lookahead, min(largest, _EVERY_WIDTH)) + 1
    widest = _PADDED_TO * -(-(max(config.max_lookahead, largest) + 1) // _PADDED_TO)
    return sorted({*range(1, used + 1), *range(_PADDED_TO, widest + 1, _PADDED_TO)})


def _beside(shape: Shape) -> int:
    """Tokens of a tree's levels that a drafter reads beside the first of each; the last level is not read."""
    return sum(width - 1 for width in shape.widths[:-1])
