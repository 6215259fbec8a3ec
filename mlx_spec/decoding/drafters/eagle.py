"""An EAGLE head as the drafter: it continues the target's own states (see `models/heads/eagle.py`)."""

from collections.abc import Sequence
from typing import Final, cast

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.blocks.pool import PART_TOKENS
from mlx_spec.decoding.cache.stretches import Span, Stretch, cut_up, put_together
from mlx_spec.decoding.drafters.base import Draft, DrawSettings, Reader, TreeDrafter
from mlx_spec.decoding.drafters.confidence import Confidence, Least
from mlx_spec.decoding.drafters.growth import Grown, growth
from mlx_spec.decoding.drafters.levels import Ask, Levels, RowByRow, alone
from mlx_spec.models.heads.eagle import EagleHead, Pairs
from mlx_spec.models.heads.layer import OwnRows
from mlx_spec.sampling.distribution import scores

PASS_TOKENS: Final = 256
"""So many pairs are read in one pass at most."""
WAITING_TOKENS: Final = 2048
"""So many of the target's states may wait while nobody asks for a draft: to read one takes its time, to keep one takes
more room than what the head keeps of it."""


class EagleDrafter(Reader, TreeDrafter):
    """Drafts a chain by running the head token after token.

    The head reads pairs: the target's state after a token, and the token that came next. Its cache holds the pairs of
    the text; those of the newest round wait, with the target's states, until the next proposal reads them in one pass.
    The second drafted token on it reads its own states instead of the target's, and what that left in its cache is
    dropped after the round, accepted or not. So it is always rolled back to true states.
    """

    held_in = ("_cache", "_states", "_marks")

    def __init__(self, head: EagleHead, draw: DrawSettings, *, least_confidence: Least = 0.0) -> None:
        self._head, self._draw = head, draw
        self._confidence = Confidence(least_confidence)
        self._cache = KVCache()
        self._states: list[mx.array] = []  # the target's, of the newest tokens it has read
        self._after: list[int] = []  # those tokens
        self._newest = -1
        self._num_read = 0
        self._marks: dict[int, mx.array] = {}  # the target's after the last token of a block, by the block's end
        self._guessed = 0  # entries of the cache that no text stands behind

    @property
    def taps(self) -> tuple[int, ...]:
        """See `Reader.taps`."""
        return self._head.taps

    @property
    def behind(self) -> int:
        """Pairs, beside the newest, that the next proposal has to read first."""
        return max(0, len(self._after) - 1)

    def read(self, features: mx.array, token_ids: Sequence[int]) -> None:
        """See `Reader.read`."""
        self._states.append(features)
        self._after.extend(token_ids)
        before, self._num_read = self._num_read, self._num_read + len(token_ids)
        marks = {*range(before // PART_TOKENS * PART_TOKENS + PART_TOKENS, self._num_read + 1, PART_TOKENS)}
        self._mark({mark: features[mark - before - 1 : mark - before] for mark in marks})
        if len(self._after) > WAITING_TOKENS:
            self._catch_up(WAITING_TOKENS - PASS_TOKENS)

    def mark(self) -> None:
        """See `Reader.mark`."""
        if self._num_read not in self._marks:
            self._mark({self._num_read: self._states[-1][-1:]})

    def _mark(self, states: dict[int, mx.array]) -> None:
        if states:
            copied = {place: mx.contiguous(state) for place, state in states.items()}
            # Left lazy, they would keep all of the features.
            mx.async_eval(list(copied.values()))  # type: ignore[no-untyped-call]
            self._marks |= copied

    def cut_up(self, spans: Sequence[Span]) -> list[Stretch | None]:
        """Of each block the pairs whose second token is in it, and the target's state after its last token."""
        self._catch_up(1)
        self._cache.trim(self._guessed)
        held = [span for span in spans if span[1] in self._marks]
        pairs = cut_up([self._cache], [(max(0, begin - 1), end - 1) for begin, end in held])
        parts = [(*part, self._marks[end]) for part, (_, end) in zip(pairs, held, strict=True)]
        return [*parts, *([None] * (len(spans) - len(held)))]

    def reach(self, beginning: Beginning, length: int) -> int:
        """A text can begin where the state before it is known."""
        return min(length, beginning.length)

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Hold the pairs of `token_ids`; the state behind the last of them waits for the token that comes next."""
        parts = beginning.until(len(token_ids))
        if not parts:
            return
        put_together([self._cache], [part[:-1] for part in parts])
        self._marks = {end: part[-1] for end, part in zip(beginning.ends, parts, strict=False)}
        self._states, self._after = [parts[-1][-1]], [token_ids[-1]]
        self._num_read = len(token_ids)
        self._newest = token_ids[-1]

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Read what can be read of the prompt: the last state waits for the token that comes next."""
        self._catch_up(1)
        if not self._cache.empty():
            mx.eval(self._cache.state)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """Draft a chain of `gamma` tokens, or of fewer where it grows unsure; None where no state is known yet."""
        return alone(self.proposing(position, gamma, round_index))

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft | None]:
        """`propose`, a token a level."""
        if not self._after:
            return None
        self._catch_up(PASS_TOKENS)
        states = (yield from self._newest_pairs())[-1:]
        rows: list[mx.array] = []
        drawn: list[mx.array] = []
        while True:
            if forced := self._draw.forced_behind(drawn, 1):
                rows.append(self._draw.point_mass(forced[0]))
                drawn.append(mx.array([forced[0]], dtype=mx.int32))
            else:
                drafted = mx.concatenate(drawn) if drawn else None
                logits = self._draw.penalties.apply((yield self._scored(states)), drafted)
                rows.append(scores(logits, self._draw.params)[0])
                drawn.append(self._draw.choose(rows[-1], position + len(drawn), round_index)[None])
            if len(drawn) == gamma or self._confidence.ends_here(rows):
                break
            states = yield self._stepped(drawn[-1], states, OwnRows(1, self._cache, self._cache.offset))
            self._guessed += 1
        draft = Draft(mx.concatenate(drawn), mx.stack(rows), greedy=self._draw.params.greedy, passes=len(drawn))
        return draft.first(self._confidence.length(rows))

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Drop what was guessed; the target's own states of what stands have come by `read`."""
        self._cache.trim(self._guessed)
        self._guessed = 0
        self._newest = token_ids[-1]

    @property
    def takes_trees(self) -> bool:
        """Any."""
        return True

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft | None:
        """Draft a tree, one pass a level; None where no state is known yet."""
        return alone(self.proposing_tree(position, shape, round_index))

    def proposing_tree(self, position: int, shape: Shape, round_index: int) -> Levels[Draft | None]:
        """`propose_tree`, a level a level."""
        if not self._after:
            return None
        self._catch_up(PASS_TOKENS)
        states = [(yield from self._newest_pairs())[-1:]]  # own states: the root's, then each level's
        drafted: list[mx.array] = []
        text, draw = self._cache.offset, self._draw
        root = scores(draw.penalties.apply((yield self._scored(states[0]))), draw.params)[0]
        growing = growth(shape, draw, position, round_index, root)
        try:
            level = next(growing)
            while True:
                count, placement = level.token_ids.shape[0], level.placement
                seen = mx.concatenate([mx.ones((count, text), dtype=mx.bool_), placement.seen], axis=-1)
                own = OwnRows(count, self._cache, placement.depths + text, seen)
                states.append((yield self._stepped(level.token_ids, mx.concatenate(states)[level.parents + 1], own)))
                self._guessed += count
                drafted.append(level.token_ids)
                logits = yield self._scored(states[-1])
                penalised = draw.penalties.apply(logits, mx.concatenate(drafted), placement.seen)
                level = growing.send(scores(penalised, draw.params))
        except StopIteration as end:
            return cast(Grown, end.value).draft

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """As `commit`: no node of a tree has read true states."""
        self.commit(token_ids, len(path))

    def _catch_up(self, waiting: int) -> None:
        """Read the oldest pairs, until no more than `waiting` >= 1 states wait."""
        while len(self._after) > waiting:
            alone(self._reading(min(PASS_TOKENS, len(self._after) - waiting)))
            # Left lazy, the graph would keep the states.
            mx.async_eval(self._cache.state)  # type: ignore[no-untyped-call]

    def _newest_pairs(self) -> Levels[mx.array]:
        """Read all that wait, the last with the newest token."""
        return self._reading(len(self._after), self._newest)

    def _reading(self, count: int, newest: int | None = None) -> Levels[mx.array]:
        """Read the oldest `count` waiting states, each with the token behind it (`newest` behind the last that there
        is); gives the head's own states `[count, hidden]`."""
        states = self._states[0] if len(self._states) == 1 else mx.concatenate(self._states)
        behind = self._after[1 : count + 1] if newest is None else [*self._after[1:], newest]
        self._states = [states[count:]] if count < len(self._after) else []
        self._after = self._after[count:]
        own = OwnRows(count, self._cache, self._cache.offset, "causal" if count > 1 else None)
        fused = yield Ask(RowByRow(self._head.fuse), states[:count])
        stepped: mx.array = yield self._stepped(mx.array(behind, dtype=mx.int32), fused, own)
        return stepped

    def _stepped(self, token_ids: mx.array, states: mx.array, own: OwnRows) -> Ask:
        return Ask(self._head.step, Pairs(token_ids, states, own))

    def _scored(self, states: mx.array) -> Ask:
        return Ask(RowByRow(self._head.logits), states)
