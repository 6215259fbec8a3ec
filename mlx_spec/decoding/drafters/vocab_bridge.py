"""A small language model with another tokenizer than its target as the drafter.

Two ways, both exact. *Shared tokens* (Timor et al. 2025, arXiv 2502.05202): the draft's distribution restricted to the
tokens that both have and renormalised, in the target's ids, drawn like any draft's, at any temperature. *Text*: the
draft writes its own tokens, and what it wrote is tokenised again for the target; it reaches tokens that are not shared,
but has no distribution in the target's ids, so it serves where the likeliest token is taken anyway.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import mlx.core as mx

from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS
from mlx_spec.decoding.cache.cached_model import CHUNK_TOKENS, CachedModel
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.decoding.drafters.base import Draft, Drafter, DrawSettings
from mlx_spec.decoding.drafters.confidence import Confidence, Least
from mlx_spec.decoding.drafters.levels import Ask, Levels, alone
from mlx_spec.decoding.drafters.ways import WAYS, Way, Ways
from mlx_spec.models.text.token_map import TokenMap
from mlx_spec.sampling.distribution import scores


class VocabBridge(Drafter):
    """Drafts in the target's ids with a model that has its own.

    The draft's context is its own tokenisation of the text. Its cache holds all of it but the newest tokens: those in
    `_pending`, and behind them, still in the target's ids, those in `_unread`; the next proposal feeds them in one
    pass. `token_map` is the pair's, made once. `ways` limits it to one way; of two, a greedy draft takes the one that
    lately accepted more, and any other draft has the shared tokens only. A chain ends behind a token before which the
    likeliest had less than `least_confidence` (0: never), as DraftModel's does.

    Raises UnsupportedModelError for a model whose cache cannot be rolled back.
    """

    held_in = ("_model",)

    def __init__(
        self,
        model: Any,
        name: str,
        draw: DrawSettings,
        token_map: TokenMap,
        *,
        least_confidence: Least = 0.0,
        ways: Sequence[Way] = WAYS,
    ) -> None:
        self._model = CachedModel(model, name, speculative=True)
        self._confidence = Confidence(least_confidence)
        self._draw = draw
        self._map = token_map
        banned = list(draw.params.banned_token_ids)
        allowed = token_map.draft_ids.copy()
        allowed[banned] = -1
        # Text has no noise in the target's ids; and of tokens that are all banned there is no distribution.
        self._ways = Ways([way for way in ways if (allowed.max() >= 0 if way == "shared" else draw.params.greedy)])
        self._is_shared = mx.array(token_map.draft_ids >= 0)
        self._draft_ids = mx.array(token_map.draft_ids.clip(min=0))
        self._pending: list[int] = []
        self._unread: list[int] = []
        self._begun = False
        self._num_text = 0  # tokens of the prompt, in the target's ids
        self._ends: dict[int, int] = {0: 0}  # by the end of a block of it: so many of the draft's own ids spell it
        self._held = 0  # of these, as many as are in the cache
        self._fed = 0
        self._fed_text: list[int] | None = None  # the draft's own tokens behind the decided text, where it wrote text

    @property
    def behind(self) -> int:
        """Tokens of the text, beside the newest, that the next proposal has to read first."""
        return max(0, len(self._pending) + len(self._unread) - 1)

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Process a chunk of the prompt."""
        for at in range(0, len(token_ids), BLOCK_TOKENS):
            self._spell(token_ids[at : at + BLOCK_TOKENS])
        if self._pending:
            self._model.prefill(self._pending)
            self._held += len(self._pending)
            self._pending = []

    def cut_up(self, spans: Sequence[Span]) -> list[Stretch | None]:
        """What its cache holds of the draft's own ids of each block, as far as the blocks are the prompt's."""
        own = [(self._ends[begin], self._ends[end]) for begin, end in spans if {begin, end} <= self._ends.keys()]
        own = [span for span in own if span[1] <= self._held] if self._model.begins_anywhere else []
        return [*self._model.cut_up(own), *([None] * (len(spans) - len(own)))]

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Hold what there is, and read the rest, block by block as a prompt is read, with the next proposal."""
        parts = beginning.until(len(token_ids))
        if parts:
            self._model.begin_with(parts, None)
            self._begun, self._num_text = True, beginning.ends[len(parts) - 1]
            ends = accumulate(part[0].shape[2] for part in parts)
            self._ends |= dict(zip(beginning.ends, ends, strict=False))
            self._held = self._ends[self._num_text]
        for at in range(self._num_text, len(token_ids), BLOCK_TOKENS):
            self._spell(token_ids[at : at + BLOCK_TOKENS])

    def _spell(self, token_ids: Sequence[int]) -> None:
        """Have the draft's own ids of a part of the prompt wait."""
        self._unread.extend(token_ids)
        self._read()
        self._num_text += len(token_ids)
        if self._num_text % BLOCK_TOKENS == 0:
            self._ends[self._num_text] = self._held + len(self._pending)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """Propose up to `gamma` tokens. The text way reads the draft's tokens back to the host, once."""
        return alone(self.proposing(position, gamma, round_index))

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft | None]:
        """`propose`, a token a level."""
        self._read()
        way = self._ways.choose(gamma) if gamma > 0 and self._pending else None
        if way is None:
            return None
        self._held += len(self._pending)
        known = mx.array(self._model.catch_up(self._pending), dtype=mx.int32)
        self._pending = []
        if way == "text":
            return (yield from self._propose_text(known, gamma))
        return (yield from self._propose_shared(known, position, gamma, round_index))

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Bring the draft's context in step with the text."""
        self._ways.observe(accepted)
        if self._fed_text is None:
            kept = min(accepted, self._fed)
            self._unread.extend(token_ids[kept:])
        else:
            kept = self._keep_text(self._fed_text, token_ids)
        self._model.forget(self._fed - kept)
        self._fed, self._fed_text = 0, None

    def _read(self) -> None:
        """Write what is unread with the draft's tokens: a few one by one, a long stretch as its tokenizer would."""
        if not self._unread:
            return
        long = len(self._unread) > CHUNK_TOKENS // 4
        known = self._map.retokenized(self._unread) if long else self._map.translated(self._unread)
        if not self._begun:
            begin = self._map.draft_begin
            known = known if known[: len(begin)] == begin else begin + known
        self._begun, self._unread = True, []
        self._pending.extend(known)

    def _propose_shared(self, known: mx.array, position: int, gamma: int, round_index: int) -> Levels[Draft]:
        """A chain drawn from the shared tokens, lazily."""
        rows: list[mx.array] = []
        drawn: list[mx.array] = []
        while len(drawn) < gamma and not self._confidence.ends_here(rows):
            logits = self._in_target_ids((yield self._asked(known, first=not drawn))[-1])[None]
            drafted = mx.stack(drawn) if drawn else None
            row = scores(self._draw.penalties.apply(logits, drafted), self._draw.params)[0]
            token_id = self._draw.choose(row, position + len(drawn), round_index)
            rows.append(row)
            drawn.append(token_id)
            known = self._draft_ids[token_id][None]
        self._fed = len(drawn) - 1
        draft = Draft(mx.stack(drawn), mx.stack(rows), greedy=self._draw.params.greedy, passes=len(drawn))
        return draft.first(self._confidence.length(rows))

    def _propose_text(self, known: mx.array, gamma: int) -> Levels[Draft | None]:
        """`gamma` of the draft's own likeliest tokens, as the target would write them."""
        rows: list[mx.array] = []
        drawn: list[mx.array] = []
        while len(drawn) < gamma and not self._confidence.ends_here(rows):
            rows.append((yield self._asked(known, first=not drawn))[-1].astype(mx.float32))
            known = mx.argmax(rows[-1]).astype(mx.int32)[None]
            drawn.append(known)
        own_ids = cast(list[int], mx.concatenate(drawn).tolist())
        self._fed, self._fed_text = len(own_ids) - 1, own_ids[:-1]
        token_ids = self._as_target(own_ids[: self._confidence.length(rows)])[:gamma]
        draft = Draft(mx.array(token_ids, dtype=mx.int32), None, greedy=True, passes=len(own_ids))
        return draft if token_ids else None

    def _as_target(self, own_ids: list[int]) -> list[int]:
        """The draft's tokens in the target's ids: text tokenised anew, up to the first special token."""
        text = b""
        for own_id in own_ids:
            piece = self._map.draft.bytes_of.get(own_id)
            if piece is None:
                special = self._map.target_id(own_id)
                return self._map.target.spell(text) + ([] if special is None else [special])
            text += piece
        return self._map.target.spell(text)

    def _keep_text(self, own_ids: list[int], token_ids: Sequence[int]) -> int:
        """How many of the draft's fed tokens spell the beginning of what was decided; the rest waits.

        The target may have cut the text elsewhere, also inside one of the draft's tokens: bytes decide, not tokens.
        """
        texts = self._map.target.bytes_of
        count = next((i for i, token_id in enumerate(token_ids) if token_id not in texts), len(token_ids))
        text, others = self._map.target.text_of(token_ids[:count]), token_ids[count:]
        kept, used = 0, 0
        for own_id in own_ids:
            piece = self._map.draft.bytes_of.get(own_id)
            if not piece or not text.startswith(piece, used):
                break
            kept, used = kept + 1, used + len(piece)
        self._pending, self._unread = self._map.draft.spell(text[used:]), list(others)
        if kept and not self._pending:
            # The next proposal starts from the logits of the newest token, which are gone: it is fed again.
            kept -= 1
            self._pending = [own_ids[kept]]
        return kept

    def _asked(self, known: mx.array, *, first: bool) -> Ask:
        """To have the draft score `known`. What is decided (the first feed) is never forgotten."""
        return Ask(score_together, Part(self._model, known, known.shape[0] if first else 0))

    def _in_target_ids(self, logits: mx.array) -> mx.array:
        """Logits `[draft vocab]` as `[vocab]` in the target's ids: -inf for what is not shared."""
        return mx.where(self._is_shared, mx.take(logits, self._draft_ids), -mx.inf)
