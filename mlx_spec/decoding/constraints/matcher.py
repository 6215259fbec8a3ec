"""A grammar as one answer follows it: what may come next, now and behind any drafts, and what must come."""

from collections.abc import Sequence
from typing import Final, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.decoding.constraints.compiling import Grammar, in_words
from mlx_spec.errors import GrammarError

Mask = NDArray[np.bool_]
Path = tuple[int, ...]
_LONGEST_FORCED: Final = 64
"""Tokens of forced text that anybody would draft."""


class Matcher:
    """Where one answer is in its grammar. Knows token ids and the host only; its masks go into `Penalties`.

    `push` follows what was decided. What drafts would change is looked at and taken back (`rollback`, as with a cache),
    so a rejected draft leaves no trace. `behind` are tokens after which the grammar begins: those that end a model's
    reasoning, which is free but for its end. `banned` are ids that other settings forbid.

    Raises GrammarError where nothing may follow, or the grammar grows too complex on the way.
    """

    def __init__(self, grammar: Grammar, *, behind: Sequence[int] = (), banned: Sequence[int] = ()) -> None:
        self._lexicon = grammar.lexicon
        self._matcher = grammar.matcher.deep_copy()
        self._field = grammar.constraint.field
        self._behind = tuple(behind)
        self._begun = not behind
        self._tail: Path = ()  # of what was said before the grammar began
        self._is_over = False
        self._banned = list(banned)
        self._gone = 0  # drafts that are followed for a look
        self._masks: dict[Path, Mask | None] = {}
        self._forced: dict[Path, list[int]] = {}

    def push(self, token_ids: Sequence[int]) -> None:
        """Follow decided tokens. Behind the answer's end nothing is looked at."""
        self._masks, self._forced = {}, {}
        for place, token_id in enumerate(token_ids):
            if self._is_over or token_id in self._lexicon.end_ids:
                self._is_over = True
                return
            if self._begun:
                followed = self._matcher.try_consume_tokens([token_id])
                if followed != 1:
                    self._check()
                    raise GrammarError(f"Token {place} of a round, {token_id}, is not of the grammar.")
            else:
                self._tail, self._begun = self._after_free((token_id,))

    def apply(self, rows: mx.array, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        """Scores or logits `[n, vocab]` with all that the grammar does not allow at -inf. What `drafted` `[m]` and
        `seen` `[n, m]` say of the rows is as `Penalties.apply` has it. Reads the drafts."""
        masks = np.stack([self._full if mask is None else mask for mask in map(self.mask, paths(rows, drafted, seen))])
        masked = mx.where(mx.array(masks), rows, -mx.inf)
        # A draft may lack all the words that are allowed, and a row of nothing is no distribution: its guess is wrong
        # then, and rejected.
        return mx.where(mx.max(masked, axis=-1, keepdims=True) > -mx.inf, masked, rows)

    def mask(self, path: Path = ()) -> Mask | None:
        """What may follow behind the drafts of `path`, `[vocab]`; None where they end the answer, or are themselves
        not allowed, so that nobody will ask."""
        if path not in self._masks:
            self._masks[path] = self._mask(path)
        return self._masks[path]

    def allowed(self, token_ids: Sequence[int]) -> int:
        """How many of these drafts, from the first on, may stand. One that ends the answer is the last."""
        path = tuple(token_ids)
        for count, token_id in enumerate(path):
            mask = self.mask(path[:count])
            if mask is None or not mask[token_id]:
                return count
        return len(path)

    def forced(self, path: Path = ()) -> list[int]:
        """The tokens that text is usually written with which must come behind the drafts of `path`; none where the
        grammar leaves a choice. The answer's end counts."""
        if path not in self._forced:
            self._forced[path] = self._forced_behind(path)
        return self._forced[path]

    @property
    def is_whole(self) -> bool:
        """Whether nothing but the answer's end may follow what was decided."""
        if not self._begun or self._is_over:
            return False
        mask = self.mask()
        return mask is not None and not mask[~self._lexicon.ends].any()

    @property
    def _full(self) -> Mask:
        return np.ones(self._lexicon.width, dtype=np.bool_)

    def _after_free(self, token_ids: Path) -> tuple[Path, bool]:
        """The tail of what is free, one token later, and whether the grammar begins there."""
        tail = (self._tail + token_ids)[-len(self._behind) :]
        return tail, tail == self._behind

    def _bare(self, path: Path) -> Path | None:
        """The part of `path` that the grammar is about; None where that has not begun behind it."""
        if self._begun:
            return path
        tail = self._tail + path
        size = len(self._behind)
        for end in range(max(size, len(self._tail) + 1), len(tail) + 1):
            if tail[end - size : end] == self._behind:
                return tail[end:]
        return None

    def _mask(self, path: Path) -> Mask | None:
        if self._is_over or not self._lexicon.end_ids.isdisjoint(path):
            return None
        bare = self._bare(path)
        if bare is None:
            return ~self._lexicon.ends
        try:
            if not self._go(bare):
                return None
            words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            self._check()
            mask = np.unpackbits(words, bitorder="little")[: self._lexicon.width].view(np.bool_)
            mask[self._lexicon.ends] = self._matcher.is_accepting()
        finally:
            self._return()
        mask[self._banned] = False
        if not mask.any():
            message = "The grammar leaves no token that may come next: other settings ban all that it allows."
            raise GrammarError(message, self._field)
        return mask

    def _go(self, path: Path) -> bool:
        """Follow drafts for a look; whether they could be."""
        if path:
            self._gone = self._matcher.try_consume_tokens(list(path))
            self._check()
        return self._gone == len(path)

    def _return(self) -> None:
        if self._gone:
            self._matcher.rollback(self._gone)
            self._gone = 0
            self._check()

    def _forced_behind(self, path: Path) -> list[int]:
        mask = self.mask(path)
        bare = self._bare(path)
        if mask is None or bare is None:
            return []
        if mask[~self._lexicon.ends].any():
            try:
                self._go(bare)
                text = self._matcher.compute_ff_bytes()
            finally:
                self._return()
            token_ids = self._lexicon.speller.spell(text)[:_LONGEST_FORCED]
            token_ids = token_ids[: self.allowed((*path, *token_ids)) - len(path)]
            if token_ids and self._is_begun(token_ids[-1], (*path, *token_ids[:-1])):
                token_ids = token_ids[:-1]
        else:
            token_ids = []
        follows = self.mask((*path, *token_ids))
        if follows is not None and follows[self._lexicon.usual_end] and not follows[~self._lexicon.ends].any():
            token_ids = [*token_ids, self._lexicon.usual_end]
        return token_ids

    def _is_begun(self, token_id: int, path: Path) -> bool:
        """Whether this is a blank that usually begins the next word, of which there are some."""
        blank = self._lexicon.bytes_of(token_id)
        if blank.strip():
            return False
        mask = self.mask(path)
        return mask is not None and bool(mask[self._lexicon.longer_than(blank)].any())

    def _check(self) -> None:
        if self._matcher.is_error():
            words = in_words(self._matcher.get_error())
            raise GrammarError(f"The answer's grammar cannot be followed further: {words}.", self._field)


def paths(rows: mx.array, drafted: mx.array | None, seen: mx.array | None) -> list[Path]:
    """The drafts that each row comes after, in their order."""
    count = rows.shape[0]
    if drafted is None:
        return [()] * count
    token_ids = tuple(cast(list[int], drafted.tolist()))
    if seen is None:
        return [token_ids[: len(token_ids) - count + 1 + row] for row in range(count)]
    return [
        tuple(token_id for token_id, is_seen in zip(token_ids, row, strict=True) if is_seen)
        for row in cast(list[list[bool]], seen.tolist())
    ]
