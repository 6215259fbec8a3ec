"""The target: the model whose words are given. It scores one known token and all drafted ones in a single pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import mlx.core as mx

from mlx_spec.acceptance.tree import TokenTree, tree_of
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.cached_model import CacheOptions, cached_model
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.decoding.cache.together import Part, read_together, score_together
from mlx_spec.decoding.cache.trials import is_shared


@dataclass(frozen=True, slots=True)
class Asked:
    """What one answer's target is asked: the first `count` rows of a part of a pass."""

    part: Part
    count: int


def score_all(asked: Sequence[Asked]) -> list[mx.array]:
    """What `Target.score` gives each answer; one pass for all of one model, where it was found to take them."""
    scored = score_together([one.part for one in asked])
    return [rows if rows.shape[0] == one.count else rows[: one.count] for one, rows in zip(asked, scored, strict=True)]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one answer's target is to read of a prompt: the arguments of `Target.prefill`; or whether the `last` token
    alone is to be scored."""

    target: "Target"
    token_ids: Sequence[int]
    meanwhile: Callable[[], None] | None = None
    scored: bool = False
    last: bool = False


def read_all(chunks: Sequence[Chunk]) -> list[mx.array | None]:
    """What `Target.prefill` gives each answer, or the logits `[1, vocab]` of its `last` token; one pass for all of one
    model, where it was found to take them, but for those that are to be scored."""
    together = [chunk for chunk in chunks if not chunk.scored and not chunk.target.is_shared]
    if len(together) < 2:
        together = []

    def meanwhile() -> None:
        for chunk in together:
            if chunk.meanwhile is not None:
                chunk.meanwhile()

    said = []
    if together:
        parts = [chunk.target.part(chunk.token_ids) for chunk in together]
        said = read_together(parts, meanwhile, [chunk.last for chunk in together])
    found = dict(zip(map(id, together), said, strict=True))
    return [found[id(chunk)] if id(chunk) in found else _read(chunk) for chunk in chunks]


def _read(chunk: Chunk) -> mx.array | None:
    logits = chunk.target.prefill(chunk.token_ids, chunk.meanwhile, scored=chunk.scored or chunk.last)
    if logits is not None and not chunk.scored:
        logits = mx.contiguous(logits[-1:])
        mx.eval(logits)  # else all that it is computed from would stay in memory
    return logits


class Target:
    """Prefill, score, commit. The newest known token is never in the cache: it is scored with the next drafts.

    `listen_to` are the layers whose states drafters read (`Taps`); without them nothing is kept and nothing costs.
    `kv_bits`, `widest` and `by_row`: see `CachedModel`.
    """

    held_in: ClassVar = ("_cached",)

    def __init__(self, model: Any, name: str, **how: Unpack[CacheOptions]) -> None:
        self._cached = cached_model(model, name, **how)
        self._scored = 0
        self.padding = 0
        """Rows of the newest pass that nobody asked for."""

    @property
    def features(self) -> mx.array | None:
        """States `[n, layers * hidden]` (lazy) after each token of the newest pass; None where nobody listens."""
        return self._cached.features

    @property
    def built_anew(self) -> bool:
        """Whether the newest pass took longer than its like will, as its graph had to be built first."""
        return self._cached.built_anew

    def prefill(
        self, token_ids: Sequence[int], meanwhile: Callable[[], None] | None = None, *, scored: bool = False
    ) -> mx.array | None:
        """Process a chunk of the prompt. `meanwhile` is what the host may do before it waits for that. Logits (lazy)
        after each token where they are to be `scored`."""
        return self._cached.prefill(token_ids, meanwhile, scored=scored)

    def part(self, token_ids: Sequence[int]) -> Part:
        """What `prefill` would read, to be read together with others'."""
        return Part(self._cached, mx.array(list(token_ids), dtype=mx.int32))

    def read(self, token_ids: Sequence[int]) -> None:
        """Process decided tokens as rounds do, in a pass as rounds make them: what it leaves has the same bits."""
        ids = mx.array(list(token_ids), dtype=mx.int32)
        mx.eval(self._cached.score(ids, kept=len(token_ids)))

    def prepare(self, rows: int, length: int) -> None:
        """Build the graph of passes over so many rows behind a prompt of `length` tokens."""
        self._cached.prepare(rows, length)

    @property
    def begins_anywhere(self) -> bool:
        """Whether a later answer may begin behind any token of this one's text, and not only at its points."""
        return self._cached.begins_anywhere

    def point(self, length: int) -> Snapshot | None:
        """What it has read of a text of `length` tokens, as far as stretches of it do not tell."""
        return None if self._cached.begins_anywhere else self._cached.point(length)

    def cut_up(self, spans: Sequence[Span], *, goes_on: bool = False) -> list[Stretch]:
        """What it has read of each of these stretches; unless the text `goes_on`, it is of no more use then."""
        return self._cached.cut_up(spans, goes_on=goes_on)

    def reach(self, beginning: Beginning, length: int) -> int:
        """With how many of the first `length` tokens of a text it can begin."""
        return min(length, beginning.length) if self.begins_anywhere else beginning.point(length)

    def begin(self, beginning: Beginning, length: int, *, reads_on: bool) -> None:
        """Begin behind the first `length` tokens, no more than it can `reach`; whether it `reads_on` there."""
        self._cached.begin_with(beginning.until(length), beginning.points.get(length), reads_on=reads_on)

    def pays_over_blocks(self, prompt_tokens: int) -> bool:
        """Whether an answer to a prompt of so many tokens is sooner there when its target goes over blocks."""
        # How wide passes over blocks may be is not measured.
        return self._cached.widest is None and self._cached.pays_over_blocks(prompt_tokens)

    def go_over_blocks(self, room: int) -> None:
        """Have the prompt, which was read, in blocks from now on, with memory for `room` tokens more, up to a limit."""
        self._cached.go_over_blocks(room)

    @property
    def is_over_blocks(self) -> bool:
        """Whether it has gone over to blocks."""
        return self._cached.is_over_blocks

    @property
    def is_shared(self) -> bool:
        """Whether other processes have shares of it, which make each pass too."""
        return is_shared(self._cached.model)

    @property
    def takes_trees(self) -> bool:
        """Whether one pass may go over a tree."""
        return self._cached.takes_trees()

    @property
    def takes_padding(self) -> bool:
        """Whether a pass may have rows that nobody asked for. Not where rows are dear to take back."""
        return self._cached.forgets_freely

    def has_room_for(self, rows: int) -> bool:
        """Whether a pass of its own, or one that it shares, may have so many rows."""
        return self._cached.widest is None or rows <= self._cached.widest

    def pads_alike(self, count: int, padding: int) -> bool:
        """Whether so many rows beside `count` leave it a pass that others' rows may be part of."""
        return self._cached.is_compiled(count) == self._cached.is_compiled(count + padding)

    def score(
        self, last_token: int, draft_ids: mx.array | None, tree: TokenTree | None = None, padding: int = 0
    ) -> mx.array:
        """Logits `[gamma + 1, vocab]` (lazy): row i is what follows `last_token` and the first i drafts; of a `tree`,
        what follows node i. `padding` rows more are scored and forgotten: where a wider pass takes less time."""
        (logits,) = score_all([self.asked(last_token, draft_ids, tree, padding)])
        return logits

    def asked(
        self, last_token: int, draft_ids: mx.array | None, tree: TokenTree | None = None, padding: int = 0
    ) -> Asked:
        """What `score` will be asked, for `score_all` to score together with others'."""
        known = mx.array([last_token], dtype=mx.int32)
        token_ids = known if draft_ids is None else mx.concatenate([known, draft_ids])
        count = token_ids.shape[0]
        if padding:
            token_ids = mx.concatenate([token_ids, mx.full((padding,), last_token, dtype=mx.int32)])
        placement = None
        if tree and not tree.is_chain:
            wide = tree_of(tree.parents + (0,) * padding)  # beside everything, so that nobody sees them
            placement = Placement(wide.depth_row, wide.depth_row, wide.seen)
        self._scored, self.padding = token_ids.shape[0], padding
        return Asked(Part(self._cached, token_ids, kept=1, placement=placement), count)

    def commit(self, path: Sequence[int]) -> None:
        """Keep the known token and the accepted nodes of `path` that follow it; forget the other drafts."""
        if path and path[-1] != len(path):
            self._cached.choose([node - 1 for node in path])
        else:
            self._cached.forget(self._scored - 1 - len(path))
