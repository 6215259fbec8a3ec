"""How far to look ahead, and with which drafter: controllers that plan each round, and what theory expects of them.

Values in, values out: a controller knows no model. Before a round it is told what the drafters could do (`Option`) and
answers with a `Plan`; after it, what came of it (`Observation`).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mlx_spec.config import SpeculativeConfig
from mlx_spec.costs import Acceptance, Calibration, DraftTimes, VerifyTimes, expected_round

_WINDOW_ROUNDS: Final = 8
_PROBE_EVERY: Final = 16
_LENGTHEN_ABOVE: Final = 0.9
_SHORTEN_BELOW: Final = 0.5
# The cost controller changes its mind for a gain of this much, and no less: costs are noisy.
_WORTH_CHANGING: Final = 1.01
_WORTH_RESUMING: Final = 1.03
_TRIES_SHARE: Final = 0.01
_FEWEST_ROUNDS_BETWEEN_TRIES: Final = 6
_FULL_PURSE_STEPS: Final = 2.0
_PLAIN_STEP_EVERY: Final = 24


@dataclass(frozen=True, slots=True)
class Option:
    """What one drafter could do in the next round: propose up to `limit` tokens.

    `trust` tells apart situations in which its proposals fare differently (a longer match of an n-gram), `behind` is
    how many tokens of the text it has yet to read.
    """

    drafter: str
    limit: int
    trust: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The next round: `length` tokens by `drafter`, None and 0 for plain decoding; and why, for people to read.

    `parked`: there is a draft, and it is not worth its time.
    """

    drafter: str | None
    length: int
    reason: str
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a round: how many tokens were asked for, drafted, tested and accepted, and its times.

    `ratios` holds p/q of each tested token that has a q. `verify_ms` is the round without its drafting. `passes` are
    the draft's forward passes: no more than were needed where it stops as soon as it is unsure.
    """

    option: Option | None
    asked: int
    drafted: int
    tested: int
    accepted: int
    ratios: Sequence[float]
    draft_ms: float
    verify_ms: float
    passes: int = 0


class LookaheadController(Protocol):
    """Plans each round; told after each what came of it."""

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """Plan the next round, drafting at most `room` tokens. The first option is the preferred one."""
        ...

    def observe(self, round_: Observation) -> None:
        """Be told of a finished round."""
        ...

    def glimpse(self, option: Option, proposed: int, accepted: int) -> None:
        """Be told how a proposal that was not used would have fared; only where looking cost nothing."""
        ...

    @property
    def plain_step_ms(self) -> float | None:
        """What a plain step would cost now, by the calibration and the rounds since; None where that is unknown."""
        ...


class FixedLookahead:
    """Always the same length; 0 is plain decoding."""

    def __init__(self, length: int) -> None:
        self._length = length

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The fixed length, by the first drafter that has anything to say."""
        return _chain(options, min(self._length, room), "the length is fixed" if self._length else "no drafter")

    def observe(self, round_: Observation) -> None:
        """Nothing to learn."""

    def glimpse(self, option: Option, proposed: int, accepted: int) -> None:
        """Nothing to learn."""

    @property
    def plain_step_ms(self) -> float | None:
        """Unknown: it watches no times."""
        return None


class ThresholdLookahead:
    """One more above 0.9 acceptance, one fewer below 0.5, over the last rounds, within the configured bounds.

    Where the mean of min(1, p/q) falls under `min_acceptance_ratio` over a full window the draft is parked: rounds
    draft nothing, but every sixteenth probes with the least length, and a good probe ends the parking.
    """

    def __init__(self, config: SpeculativeConfig) -> None:
        self._config = config
        self._length = min(max(config.lookahead, config.min_lookahead), config.max_lookahead)
        self._rounds: deque[tuple[int, int]] = deque(maxlen=_WINDOW_ROUNDS)
        self._ratios: deque[float] = deque(maxlen=_WINDOW_ROUNDS * config.max_lookahead)
        self._parked_rounds: int | None = None

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The present length, or nothing while parked."""
        if self._parked_rounds is None:
            return _chain(options, min(self._length, room), f"acceptance {self._acceptance():.0%} keeps this length")
        if self._parked_rounds % _PROBE_EVERY == _PROBE_EVERY - 1:
            return _chain(options, min(self._config.min_lookahead, room), "a try while parked")
        return Plan(None, 0, "parked: the target finds the drafts improbable", parked=True)

    def observe(self, round_: Observation) -> None:
        """Learn from a round, parked or not."""
        if self._parked_rounds is not None:
            self._parked_rounds += 1
        if round_.tested == 0:
            return
        self._rounds.append((round_.tested, round_.accepted))
        self._ratios.extend(min(1.0, ratio) for ratio in round_.ratios)
        acceptance = self._acceptance()
        if acceptance > _LENGTHEN_ABOVE:
            self._length = min(self._length + 1, self._config.max_lookahead)
        elif acceptance < _SHORTEN_BELOW:
            self._length = max(self._length - 1, self._config.min_lookahead)
        self._park_or_resume(round_.ratios)

    def glimpse(self, option: Option, proposed: int, accepted: int) -> None:
        """Nothing to learn: this controller judges what was used."""

    @property
    def plain_step_ms(self) -> float | None:
        """Unknown: it watches no times."""
        return None

    def _acceptance(self) -> float:
        return sum(accepted for _, accepted in self._rounds) / max(1, sum(tested for tested, _ in self._rounds))

    def _park_or_resume(self, ratios: Sequence[float]) -> None:
        least = self._config.min_acceptance_ratio
        if self._parked_rounds is not None:
            mean = sum(min(1.0, ratio) for ratio in ratios) / max(1, len(ratios))
            if mean >= least:
                self._parked_rounds = None
                self._rounds.clear()
                self._ratios.clear()
        elif len(self._rounds) == _WINDOW_ROUNDS and sum(self._ratios) < least * len(self._ratios):
            self._parked_rounds = 0


@dataclass(slots=True)
class _Choice:
    """One possible round and what it is expected to bring."""

    option: Option | None
    length: int
    tokens: float
    milliseconds: float

    @property
    def rate(self) -> float:
        """Tokens a millisecond."""
        return self.tokens / self.milliseconds

    def is_like(self, other: "_Choice | None") -> bool:
        """Whether it is the same decision, apart from how sure the drafter is this time."""
        if other is None or self.length != other.length:
            return False
        return (self.option and self.option.drafter) == (other.option and other.option.drafter)


class CostLookahead:
    """Plans the round that promises most tokens a millisecond, from measured times and acceptance.

    Length 0 is a choice: where no draft pays it parks. It then tries a draft now and then, as often as costs at most
    1 % of the time, and resumes when a try, or a glimpse that cost nothing, promises a gain again. Changes need a gain
    of 1 % (3 % to resume), so that noise does not make it swing. One instance serves all answers of a decoder: what it
    learnt about the machine and the drafters stays true.
    """

    def __init__(self, config: SpeculativeConfig, calibration: Calibration | None = None) -> None:
        self._config = config
        self._verify = VerifyTimes(calibration)
        self._draft_times: dict[str, DraftTimes] = {}
        if calibration is not None:
            self._draft_times["model"] = DraftTimes(calibration.draft_step_ms, calibration.draft_token_ms)
        self._acceptance: dict[tuple[str, int], Acceptance] = {}
        self._likeness: dict[str, float] = {}
        self._last: _Choice | None = None
        self._purse_ms = 0.0
        self._since_try = self._since_plain = 0
        self._stops_early = False  # the draft takes no pass behind its end
        self._usual_rate: float | None = None  # tokens a millisecond without the try that is under way

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

    def observe(self, round_: Observation) -> None:
        """Learn times and acceptance from a round."""
        self._since_try += 1
        self._since_plain = self._since_plain + 1 if round_.drafted else 0
        spent = round_.draft_ms + round_.verify_ms
        self._verify.observe(round_.drafted + 1, round_.verify_ms)
        self._purse_ms = min(self._purse_ms + _TRIES_SHARE * spent, _FULL_PURSE_STEPS * self._verify.at(1))
        option = round_.option
        if option is None or round_.asked == 0:
            return
        if self._usual_rate is not None:
            self._purse_ms -= spent - (round_.accepted + 1) / self._usual_rate
        if round_.drafted:  # one that had nothing to propose took no time worth learning
            times = self._draft_times.setdefault(option.drafter, DraftTimes(0.0))
            times.observe(max(1, round_.passes), option.behind, round_.draft_ms)
        self._stops_early |= 0 < round_.passes < round_.asked
        self._of(option).observe(round_.asked, round_.drafted, round_.tested, round_.accepted)
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
        plan = _chain(options, min(self._config.lookahead, room), "measuring a draft")
        return plan if plan.length else None

    def _of(self, option: Option) -> Acceptance:
        return self._acceptance.setdefault((option.drafter, option.trust), Acceptance())

    def _choices(self, option: Option, room: int) -> list[_Choice]:
        longest = min(option.limit, room, self._config.max_lookahead)
        times = self._draft_times.get(option.drafter, DraftTimes(0.0))
        rates = self._of(option).rates(longest)
        choices = []
        steps, reached = 0.0, 1.0
        for length in range(1, longest + 1):
            reached *= rates[length - 1][0] if self._stops_early else 1.0
            steps += reached
            draft_ms = times.at(steps, option.behind)
            choices.append(_Choice(option, length, *expected_round(self._verify, draft_ms, rates[:length])))
        return choices

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
        if chosen.option is not None and self._verify.surprises >= 2 and self._since_plain >= 2:
            return plain  # the costs have changed, and all of them are measured against a plain step
        if self._since_try < _FEWEST_ROUNDS_BETWEEN_TRIES:
            return None
        if chosen.option is None:
            rival = max(choices, key=lambda choice: choice.rate)
        else:
            longer = [c for c in choices if c.option == chosen.option and c.length == chosen.length + 1]
            if self._since_plain > _PLAIN_STEP_EVERY:
                rival = plain
            elif longer:
                rival = longer[0]
            else:
                return None
        price = rival.milliseconds - rival.tokens / chosen.rate
        return rival if price <= self._purse_ms else None

    @staticmethod
    def _gain(choice: _Choice, plain: _Choice) -> str:
        return f"{choice.rate / plain.rate:.2f}x plain expected"

    @staticmethod
    def _plan_for(choice: _Choice, reason: str) -> Plan:
        assert choice.option is not None
        return Plan(choice.option.drafter, choice.length, reason)


def _chain(options: Sequence[Option], length: int, reason: str) -> Plan:
    """A draft by the first option that has anything to propose."""
    if length > 0:
        for option in options:
            if option.limit > 0:
                return Plan(option.drafter, min(length, option.limit), reason)
    return Plan(None, 0, "nothing to draft" if length > 0 else reason)


def controller(config: SpeculativeConfig, calibration: Calibration | None = None) -> LookaheadController:
    """The controller that a configuration asks for."""
    if not config.adaptive_lookahead:
        return FixedLookahead(config.lookahead)
    if config.controller == "threshold":
        return ThresholdLookahead(config)
    return CostLookahead(config, calibration)


def expected_speedup(alpha: float, gamma: int, cost_ratio: float) -> float:
    """Leviathan et al. 2023, Theorem 3.8: (1 - alpha^(gamma+1)) / ((1 - alpha) (gamma c + 1)).

    `alpha` is the acceptance rate in [0, 1], `cost_ratio` c the time of a draft pass over that of a target pass; a
    verify pass is taken to cost as much as a plain step, whatever its length.
    """
    tokens = gamma + 1.0 if alpha == 1 else (1 - alpha ** (gamma + 1)) / (1 - alpha)
    return tokens / (gamma * cost_ratio + 1)


def should_use_speculative(alpha: float, cost_ratio: float, *, longest: int = 8) -> bool:
    """Whether any length from 1 to `longest` promises more than plain decoding, by the theorem of `expected_speedup`.

    With passes that cost the same whatever their length, that is alpha > cost_ratio (ibid., Corollary 3.9). The cost
    controller asks the same of measured times, round by round.
    """
    return any(expected_speedup(alpha, gamma, cost_ratio) > 1 for gamma in range(1, longest + 1))
