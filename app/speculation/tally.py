"""The counts of an answer's rounds, one round at a time. Knows no Qt."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.engine.protocol import DraftedToken, Round

NOW_MS = 1000.0  # "now" is the last second of rounds


@dataclass(slots=True)
class Tally:
    """What the rounds so far add up to. `accepted_lengths[n]` counts the drafting rounds that accepted n tokens;
    `tested_at[i]` and `accepted_at[i]` count the drafts in place i of a chain."""

    num_rounds: int = 0
    num_drafting: int = 0
    num_parked: int = 0
    num_emitted: int = 0
    num_drafted: int = 0
    num_tested: int = 0
    num_accepted: int = 0
    draft_ms: float = 0.0
    verify_ms: float = 0.0
    wire_ms: float = 0.0
    round_ms: float = 0.0
    plain_ms: float = 0.0
    accepted_lengths: list[int] = field(default_factory=list)
    tested_at: list[int] = field(default_factory=list)
    accepted_at: list[int] = field(default_factory=list)
    _num_priced: int = 0
    _priced_ms: float = 0.0
    _recent: deque[tuple[int, float]] = field(default_factory=deque)
    _recent_tokens: int = 0
    _recent_ms: float = 0.0

    @classmethod
    def of(cls, rounds: Iterable[Round]) -> "Tally":
        """The tally of some rounds."""
        tally = cls()
        for one in rounds:
            tally.add(one)
        return tally

    def add(self, one: Round) -> None:
        """Count a round; takes the same time however many there were."""
        accepted, tested = one.accepted_count, one.tested_count
        self.num_rounds += 1
        self.num_emitted += len(one.emitted)
        self.num_drafted += len(one.drafted)
        self.num_tested += tested
        self.num_accepted += accepted
        self.num_parked += one.is_parked
        self.draft_ms += one.draft_ms
        self.verify_ms += one.verify_ms
        self.wire_ms += one.wire_ms
        self.round_ms += one.round_ms
        if one.plain_step_ms is not None:
            self.plain_ms += one.plain_step_ms * len(one.emitted)
            self._num_priced += len(one.emitted)
            self._priced_ms += one.round_ms
        if one.drafted:
            self._count_draft(one, accepted, tested)
        self._count_recent(len(one.emitted), one.round_ms)

    @property
    def host_ms(self) -> float:
        """What the rounds took beside drafting and verifying."""
        return max(0.0, self.round_ms - self.draft_ms - self.verify_ms)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens emitted per second of rounds; None before the first."""
        return self.num_emitted * 1000.0 / self.round_ms if self.round_ms else None

    @property
    def tokens_per_second_now(self) -> float | None:
        """The same over the last second of rounds."""
        return self._recent_tokens * 1000.0 / self._recent_ms if self._recent_ms else None

    @property
    def plain_tokens_per_second(self) -> float | None:
        """What plain decoding would bring, by the engine's measured plain step; None where it has none."""
        return self._num_priced * 1000.0 / self.plain_ms if self.plain_ms else None

    @property
    def speedup(self) -> float | None:
        """Time of plain steps for the same tokens over the rounds' time; None where no plain step was measured."""
        return self.plain_ms / self._priced_ms if self.plain_ms and self._priced_ms else None

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens emitted per round, the correction or bonus token included."""
        return self.num_emitted / self.num_rounds if self.num_rounds else None

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted / tested; None where nothing was tested."""
        return self.num_accepted / self.num_tested if self.num_tested else None

    @property
    def passes_saved(self) -> int | None:
        """Target passes plain decoding would have needed on top: it needs one a token, a round needs one."""
        return max(0, self.num_emitted - self.num_rounds) if self.num_rounds else None

    def _count_draft(self, one: Round, accepted: int, tested: int) -> None:
        self.num_drafting += 1
        _grow(self.accepted_lengths, accepted + 1)
        self.accepted_lengths[accepted] += 1
        # In a tree the places are depths, and of each depth at most one token was accepted.
        reached = min(accepted + 1, _depth(one)) if one.is_tree else tested
        _grow(self.tested_at, reached)
        _grow(self.accepted_at, reached)
        for place in range(reached):
            self.tested_at[place] += 1
            self.accepted_at[place] += place < accepted

    def _count_recent(self, tokens: int, ms: float) -> None:
        self._recent.append((tokens, ms))
        self._recent_tokens += tokens
        self._recent_ms += ms
        while len(self._recent) > 1 and self._recent_ms - self._recent[0][1] >= NOW_MS:
            old_tokens, old_ms = self._recent.popleft()
            self._recent_tokens -= old_tokens
            self._recent_ms -= old_ms


def depths(one: Round) -> list[int]:
    """How far each drafted token stands from the known text, from 0; in a chain that is its index."""
    if not one.is_tree:
        return list(range(len(one.drafted)))
    found: list[int] = []
    for token in one.drafted:  # a parent stands before its children
        is_known = token.parent is not None and token.parent < len(found)
        found.append(found[token.parent] + 1 if is_known else 0)
    return found


def in_reading_order(one: Round) -> list[tuple[DraftedToken, int]]:
    """The drafted tokens of a tree, each right behind the one it follows, with their depths."""
    children: dict[int | None, list[int]] = {}
    for index, token in enumerate(one.drafted):
        children.setdefault(token.parent, []).append(index)
    found, waiting = depths(one), list(reversed(children.get(None, [])))
    ordered: list[tuple[DraftedToken, int]] = []
    while waiting:
        index = waiting.pop()
        ordered.append((one.drafted[index], found[index]))
        waiting.extend(reversed(children.get(index, [])))
    return ordered


def _depth(one: Round) -> int:
    return max(depths(one), default=-1) + 1


def _grow(counts: list[int], length: int) -> None:
    counts.extend([0] * (length - len(counts)))
