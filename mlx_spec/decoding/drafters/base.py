"""What every drafter is: something that proposes tokens, and is told which of the answer's tokens stand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape, TokenTree, chain
from mlx_spec.config import AcceptanceRule, SamplingParams
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.decoding.drafters.levels import Levels, at_once
from mlx_spec.decoding.drafters.prediction import Prediction
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.row_softmax import sample
from mlx_spec.machine.kernels.warp import UNWARPED, WarpedRows
from mlx_spec.sampling.gumbel import NoiseTable, Stream, keyed_noise, stream_key
from mlx_spec.sampling.penalties import Penalties


@dataclass(slots=True)
class DrawSettings:
    """How one request's drafts are drawn: penalties, filters, the acceptance rule, and its randomness.

    `penalties` are the target's own, which the decoder keeps in step with the answer. Between two rounds, `rule` and
    `least_confidence` (behind which a chain ends, see `Confidence`) may change: a draft is drawn for the rule that will
    judge it. `kv_bits` is what the target keeps each of its keys and values in; None as they are. `forced` tells, of an
    answer with a grammar, which tokens must come behind some drafts; None for all others. `prediction` is what the
    client takes the answer to be, kept in step with it too.
    """

    params: SamplingParams
    rule: AcceptanceRule
    seed: int
    noise: NoiseTable
    penalties: Penalties
    least_confidence: float = 0.0
    kv_bits: int | None = None
    forced: Callable[[tuple[int, ...]], Sequence[int]] | None = None
    prediction: Prediction | None = None

    def confidence(self) -> float:
        """`least_confidence` as it is now: see `Confidence`."""
        return self.least_confidence

    def choose(self, row: mx.array, position: int, round_index: int) -> mx.array:
        """Draw one token (0-d, int32) from scores `[vocab]`, for an absolute position."""
        if not self.params.greedy and dispatch.serves():
            return sample(WarpedRows(row[None], UNWARPED), [self._key(position, round_index)]).token_ids[0]
        return mx.argmax(self.noisy(row, position, round_index)).astype(mx.int32)

    def forced_behind(self, drafted: Sequence[mx.array], most: int) -> Sequence[int]:
        """What a grammar forces behind these drafts, each `[1]`: up to `most` tokens, nothing without one."""
        if self.forced is None or most <= 0:
            return ()
        path = tuple(cast(list[int], mx.concatenate(list(drafted)).tolist())) if drafted else ()
        return self.forced(path)[:most]

    def point_mass(self, token_id: int) -> mx.array:
        """The scores `[vocab]` of a token that has all the probability."""
        return mx.where(mx.arange(self.noise.vocab_size) == token_id, 0.0, -mx.inf)

    def noisy(self, rows: mx.array, position: int, round_index: int) -> mx.array:
        """Scores `[n, vocab]` or `[vocab]` of nodes at one position, by whose order `choose` would take tokens without
        replacement: the Gumbel-top-k trick, Kool et al. 2019 (arXiv 1903.06059)."""
        if self.params.greedy:
            return rows
        if self.rule == "coupled":
            return rows + self.noise.row(position)
        return rows + keyed_noise(self._key(position, round_index), self.noise.vocab_size)

    def _key(self, position: int, round_index: int) -> tuple[int, int]:
        if self.rule == "coupled":
            return stream_key(self.seed, position)
        # Independent of the acceptance and recovery draws, and new each round: a position that is drafted again
        # must not repeat a draw whose outcome may already have steered the lookahead.
        return stream_key(self.seed, position, Stream.DRAFT, round_index)


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal, still lazy: `token_ids` `[gamma]` and the `scores` `[gamma, vocab]` they were chosen by.

    A chain, or a `tree`. `scores` are warped and not normalised, the same for siblings; None for a drafter without a
    distribution. A `greedy` draft took the likeliest tokens instead of drawing: whatever its scores, its q is a point
    mass. `passes` are the forward passes it took, which may be more than its tokens.
    """

    token_ids: mx.array
    scores: mx.array | None
    greedy: bool
    passes: int = 0
    tree: TokenTree | None = None

    @property
    def nodes(self) -> TokenTree:
        """The tree, also of a chain."""
        return self.tree or chain(self.token_ids.shape[0])

    def first(self, count: int) -> "Draft":
        """A chain cut down to `count` >= 1 tokens."""
        if count >= self.token_ids.shape[0]:
            return self
        return replace(
            self, token_ids=self.token_ids[:count], scores=None if self.scores is None else self.scores[:count]
        )


class Drafter(Protocol):
    """Proposes chains for one request. Whatever it proposes, the acceptance rule keeps the answer exact.

    A drafter says `prefill`, `propose` and `commit`; what else it can be asked has an answer that suits a model.
    """

    @property
    def is_model(self) -> bool:
        """Whether proposing takes passes of a model: then reading a text takes its time, and it always has something
        to propose."""
        return True

    @property
    def behind(self) -> int:
        """Tokens of the text, beside the newest, that the next proposal has to read first."""
        return 0

    @property
    def trust(self) -> int:
        """Tells apart situations in which its proposals fare differently; see `Option.trust`."""
        return 0

    @property
    def forced(self) -> int:
        """How many tokens a proposal would begin with that take no pass, as a grammar tells them."""
        return 0

    @property
    def guess(self) -> float | None:
        """The chance that it gives each of its tokens itself, where it knows of any; see `Option.guess`."""
        return None

    def limit(self, longest: int) -> int:
        """How many tokens it would propose now, if `longest` were asked for; more where it has a `guess`."""
        return longest

    def shadow(self, longest: int) -> Sequence[int]:
        """What it would propose now, for those who can tell at no cost. It is compared with what the target says, also
        where another drafter was asked."""
        return ()

    def point(self, length: int) -> Snapshot | None:
        """What it holds of a text of `length` tokens, if it has read just that, where stretches do not tell it."""
        return None

    def cut_up(self, spans: Sequence[Span]) -> Sequence[Stretch | None]:
        """What it keeps of each of these stretches of the text for later answers, which are blocks; None for what it
        has not read, or reads from the beginning. The answer is over."""
        return [None] * len(spans)

    def reach(self, beginning: Beginning, length: int) -> int:
        """With how many of the first `length` tokens of that text it can begin, at most: all of them, as who kept
        nothing reads them itself."""
        return length

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Begin behind `token_ids`, no more than it can `reach`. In the place of `prefill` for these."""
        self.commit(token_ids, 0) if self.is_model else self.prefill(token_ids)

    def meanwhile(self) -> None:
        """Do what the host can do while the device reads a chunk of the prompt."""
        return

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Process a chunk of the prompt."""
        ...

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """Propose up to `gamma` >= 1 tokens; the first of them has absolute `position`. None: nothing comes to mind.

        How many it proposes may depend on the text and on its own rows of probabilities, never on what it drew from
        the last of them: a proposal that is withdrawn because of itself would bias the answer under `token`.
        """
        ...

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft | None]:
        """`propose` level by level, for those whose passes can be made together with others'."""
        return at_once(self.propose(position, gamma, round_index))

    @property
    def is_alone(self) -> bool:
        """Whether its passes are never made together with others'."""
        return type(self).proposing is Drafter.proposing

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Be told the newest tokens of the text: the first `accepted` are drafts that stand.

        Called after every round, also one that drafted nothing, and once before the first with the prompt's last token.
        """
        ...


@runtime_checkable
class TreeDrafter(Drafter, Protocol):
    """A drafter that can propose several tokens for one place."""

    @property
    def takes_trees(self) -> bool:
        """Whether it can with this model."""
        ...

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft | None:
        """Propose a tree of that shape, or of what comes to mind of it; None: nothing. See `propose`.

        Siblings are different tokens, the favourite first.
        """
        ...

    def proposing_tree(self, position: int, shape: Shape, round_index: int) -> Levels[Draft | None]:
        """`propose_tree` level by level."""
        return at_once(self.propose_tree(position, shape, round_index))

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """In the place of `commit`, after a round with its tree: the nodes of `path` stand, and the newest tokens of
        the text begin with theirs."""
        ...


@runtime_checkable
class Reader(Drafter, Protocol):
    """A drafter that reads the target's mind: the states of some of its layers, from the passes it makes anyhow."""

    @property
    def taps(self) -> tuple[int, ...]:
        """The layers whose states it wants, as `mlx_spec.models.taps` counts them."""
        ...

    def read(self, features: mx.array, token_ids: Sequence[int]) -> None:
        """Be given the target's states `[n, len(taps) * hidden]`, layers side by side, after each of `token_ids` `[n]`.

        Called for every token of the text that the target has read, in order and once: after each chunk of the prompt,
        and after each round, before `commit`, for the token that round began with and the drafts that stand. The
        newest token of the text is never among them. Lazy; it may be left for later, but is evaluated with the round.
        """
        ...

    def mark(self) -> None:
        """Keep what is needed to begin behind what was read: a pass over the prompt ended here, where a later answer
        may begin."""
        return
