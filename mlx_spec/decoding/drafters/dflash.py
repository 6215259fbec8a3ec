"""A DFlash head as the drafter: a whole block of tokens by one pass over the target's states."""

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.stretches import Span, Stretch, cut_up, put_together
from mlx_spec.decoding.drafters.at_once import draft_chain, draft_tree
from mlx_spec.decoding.drafters.base import Draft, DrawSettings, Reader, TreeDrafter
from mlx_spec.decoding.drafters.confidence import Confidence, Least
from mlx_spec.decoding.drafters.levels import Ask, Levels, RowByRow, alone
from mlx_spec.models.heads.dflash import Behind, DFlashHead

_WAITING_TOKENS: Final = 256


class DFlashDrafter(Reader, TreeDrafter):
    """One pass a proposal, for a block of the trained size, of which a shorter chain takes the beginning.

    The head's caches hold the target's states of the text; those of the newest round wait until the next proposal
    reads them along with its block, which leaves no trace. So a rejection has nothing to roll back.
    """

    held_in = ("_caches", "_waiting", "_text")

    def __init__(self, head: DFlashHead, draw: DrawSettings, *, least_confidence: Least = 0.0) -> None:
        self._head, self._draw = head, draw
        self._confidence = Confidence(least_confidence)
        self._caches = head.make_cache()
        self._waiting: list[mx.array] = []  # the target's states of the newest tokens,
        self._num_waiting = 0  # which are so many
        self._text: list[mx.array] = []  # fused states of those before, as far as they are not in the caches yet
        self._newest = -1

    @property
    def taps(self) -> tuple[int, ...]:
        """See `Reader.taps`."""
        return self._head.taps

    def read(self, features: mx.array, token_ids: Sequence[int]) -> None:
        """See `Reader.read`. Few may wait to be fused: they are as many times wider as there are layers read."""
        self._waiting.append(features)
        self._num_waiting += len(token_ids)
        if self._num_waiting > _WAITING_TOKENS:
            self._fuse()

    def cut_up(self, spans: Sequence[Span]) -> list[Stretch | None]:
        """What its caches hold, when the head has seen all of the text."""
        if self._num_unseen:
            mx.eval(alone(self._block()))
        held = [span for span in spans if span[1] <= self._caches[0].offset]
        return [*cut_up(self._caches, held), *([None] * (len(spans) - len(held)))]

    def reach(self, beginning: Beginning, length: int) -> int:
        """As far as the head has seen the text."""
        return min(length, beginning.length)

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """See `token_ids` in the caches."""
        parts = beginning.until(len(token_ids))
        if parts:
            put_together(self._caches, parts)
            self._newest = token_ids[-1]

    def prefill(self, token_ids: Sequence[int]) -> None:
        """The prompt's states wait for the first proposal."""
        self._fuse()
        mx.eval(self._text)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """A chain of the block's length at most; None before the target has read anything."""
        return alone(self.proposing(position, gamma, round_index))

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft | None]:
        """`propose`, in one pass."""
        logits = yield from self._block()
        if logits is None:
            return None
        return draft_chain(logits[:gamma], self._draw, self._confidence, position, round_index)

    @property
    def takes_trees(self) -> bool:
        """Any: a block's candidates for a place are the same behind every node."""
        return True

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft | None:
        """A tree of the block's depth at most; None before the target has read anything."""
        return alone(self.proposing_tree(position, shape, round_index))

    def proposing_tree(self, position: int, shape: Shape, round_index: int) -> Levels[Draft | None]:
        """`propose_tree`, in one pass."""
        logits = yield from self._block()
        return None if logits is None else draft_tree(logits, shape, self._draw, position, round_index)

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """As `commit`."""
        self.commit(token_ids, len(path))

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """The target's states of what stands have come by `read`."""
        self._newest = token_ids[-1]

    def _fuse(self) -> None:
        if self._waiting:
            self._text.append(self._head.read(mx.concatenate(self._waiting)))
            mx.async_eval(self._text[-1])  # type: ignore[no-untyped-call]
            self._waiting, self._num_waiting = [], 0

    @property
    def _num_unseen(self) -> int:
        return self._num_waiting + sum(part.shape[0] for part in self._text)

    def _block(self) -> Levels[mx.array | None]:
        """Logits `[block - 1, vocab]` behind the newest token; None before the target has read anything."""
        if self._waiting:
            waiting, self._waiting, self._num_waiting = self._waiting, [], 0
            self._text.append((yield Ask(RowByRow(self._head.read), mx.concatenate(waiting))))
        if not self._text and self._caches[0].empty():
            return None
        text = mx.concatenate(self._text) if self._text else self._head.no_text
        self._text = []
        logits: mx.array = yield Ask(self._head.logits, Behind(mx.array(self._newest), text, self._caches))
        return logits
