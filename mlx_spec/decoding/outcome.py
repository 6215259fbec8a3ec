"""What one round decided, read from the device: the one host read of a round."""

import math
from dataclasses import dataclass, replace
from typing import cast

import mlx.core as mx

from mlx_spec.acceptance.tree import TokenTree, chain
from mlx_spec.decoding.alternatives import LazyTops, Tops, likeliest
from mlx_spec.decoding.logprobs.rows import RowLogprobs, row_logprobs
from mlx_spec.errors import NumericalError
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import row_normalisers
from mlx_spec.machine.kernels.warp import WarpedRows


@dataclass(frozen=True, slots=True)
class Outcome:
    """The tokens of a round, and their probabilities under the warped distribution (at temperature 0, the softmax).

    `token_ids` are the accepted drafts and the target's own token after them, whose probability is `next_p`. The drafts
    are the nodes of `tree`, of which those of `path` were accepted. `end` is set where the answer ended among the
    accepted drafts, after that many of them. `target_top` and `draft_top` are the likeliest tokens after each node and
    in the place of each draft, where they were asked for; likewise the `logprobs` of each of `token_ids`, and by how
    much each beat the next best one: its `margins`.
    """

    accepted: int
    token_ids: list[int]
    draft_ids: list[int]
    drafted_p: list[float]
    drafted_q: list[float | None]
    next_p: float
    tree: TokenTree
    path: tuple[int, ...]
    end: int | None = None
    target_top: Tops = ()
    draft_top: Tops = ()
    logprobs: tuple[RowLogprobs, ...] = ()
    margins: tuple[float, ...] = ()

    @property
    def tested(self) -> int:
        """Drafts that reached the acceptance test: of a chain the accepted ones and the first rejected one."""
        return sum(self.was_tested(i) for i in range(len(self.draft_ids)))

    def was_tested(self, index: int) -> bool:
        """Whether the `index`-th draft was: whether it was proposed to follow the text or an accepted draft."""
        parent = self.tree.parents[index]
        place = 0 if parent == 0 else self.path.index(parent) + 1 if parent in self.path else None
        return place is not None and (self.end is None or place < self.end)

    @property
    def hits(self) -> list[tuple[int, int]]:
        """For each place that was tested: how many tokens were proposed for it, and which of them was right, counted
        from 1; 0 for none."""
        hits = []
        for place, node in enumerate((0, *self.path)):
            children = self.tree.children[node]
            if children and (self.end is None or place < self.end):
                right = self.path[place] if place < len(self.path) else None
                hits.append((len(children), children.index(right) + 1 if right else 0))
        return hits

    def with_logprobs(self, logits: mx.array, count: int) -> "Outcome":
        """The same with the log-probabilities of its tokens, and of the `count` likeliest in their places, by the
        target's `logits` `[gamma + 1, vocab]` as it gave them."""
        rows = logits[mx.array([0, *self.path])]
        return replace(self, logprobs=tuple(row_logprobs(rows, self.token_ids, count)))

    def ended_after(self, emitted: int) -> "Outcome":
        """The same round, but where the answer ended among its accepted drafts, those behind the end do not count."""
        if emitted >= self.accepted:
            return self
        return replace(self, accepted=emitted, path=self.path[:emitted], end=emitted)

    def ratios(self) -> list[float]:
        """p/q of each tested draft that has a q."""
        drafts = enumerate(zip(self.drafted_p, self.drafted_q, strict=True))
        return [p / max(q, 1e-9) for i, (p, q) in drafts if q is not None and self.was_tested(i)]


def read_outcome(
    verified: Verified,
    rows: WarpedRows,
    proposal: Proposal,
    tree: TokenTree | None,
    alternatives: int = 0,
    margins: mx.array | None = None,
) -> Outcome:
    """Evaluate the round's graph and read it. `rows` are the target's, gamma + 1 of them; a `tree` of None is a chain.
    `alternatives` is how many of the likeliest tokens of each row to tell besides, `margins` `[rows]` what
    `Outcome.margins` are.

    Raises NumericalError when the rows that decided are not numbers.
    """
    arrays = [verified.accepted_count, verified.path, verified.token_ids, mx.exp(verified.logprobs)]
    if gamma := proposal.token_ids.shape[0]:
        arrays += [proposal.token_ids, mx.exp(verified.draft_logprobs)]
        if proposal.rows is not None and proposal.normalisers is not None:
            scores = proposal.rows.scores()[mx.arange(gamma), proposal.token_ids]
            arrays.append(mx.exp(scores - proposal.normalisers))
    tops: list[LazyTops] = []
    if alternatives:
        tops.append(_likeliest(rows, verified.normalisers, alternatives))
        if proposal.rows is not None:
            tops.append(_likeliest(proposal.rows, proposal.normalisers, alternatives))
    mx.eval(arrays, [top.arrays for top in tops], [] if margins is None else margins)
    accepted = cast(int, arrays[0].item())
    nodes = cast(list[int], arrays[1].tolist())
    token_ids, chosen_p, *drafted = (cast(list[float], array.tolist()) for array in arrays[2:])
    _check_numbers(chosen_p[: accepted + 1])
    draft_ids = cast(list[int], drafted[0]) if drafted else []
    return Outcome(
        accepted=accepted,
        token_ids=cast(list[int], token_ids)[: accepted + 1],
        draft_ids=draft_ids,
        drafted_p=drafted[1] if drafted else [],
        drafted_q=cast(list[float | None], drafted[2]) if len(drafted) > 2 else [None] * len(draft_ids),
        next_p=chosen_p[accepted],
        tree=tree or chain(gamma),
        path=tuple(nodes[1 : accepted + 1]),
        target_top=tops[0].read() if tops else (),
        draft_top=tops[1].read() if len(tops) > 1 else (),
        margins=() if margins is None else tuple(cast(list[float], margins[arrays[1]].tolist())[: accepted + 1]),
    )


def _likeliest(rows: WarpedRows, normalisers: mx.array | None, count: int) -> LazyTops:
    return likeliest(rows.scores(), row_normalisers(rows) if normalisers is None else normalisers, count)


def _check_numbers(probabilities: list[float]) -> None:
    if not all(math.isfinite(p) for p in probabilities):
        raise NumericalError(
            "The target model produced logits that are not numbers (NaN): its weights are damaged or its precision "
            "is too low; import or download the model again."
        )
