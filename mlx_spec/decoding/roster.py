"""All drafters of one request, kept in step with its text; one of them drafts each round."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, cast

import mlx.core as mx

from mlx_spec.config import SamplingParams, SpeculativeConfig
from mlx_spec.decoding.cache.blocks.chain import Block, beginning_of, fill
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span
from mlx_spec.decoding.drafters.base import Draft, Drafter, DrawSettings, Reader, TreeDrafter
from mlx_spec.decoding.drafters.grammar import Forcing
from mlx_spec.decoding.drafters.levels import Levels
from mlx_spec.decoding.drafters.making import make_drafter
from mlx_spec.decoding.drafters.prediction import Prediction
from mlx_spec.lookahead.plan import LookaheadController, Option, Plan
from mlx_spec.models.loading import ModelPair
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties


@dataclass(frozen=True, slots=True)
class ShadowProposal:
    """A proposal that was looked at for nothing, to be compared with what the target says."""

    option: Option
    token_ids: Sequence[int]


class Roster:
    """The drafters by name, the preferred one first. Of an answer with a grammar, `forcing` cuts off what that does not
    allow."""

    held_in: ClassVar = ("_drafters",)

    def __init__(self, drafters: dict[str, Drafter], draw: DrawSettings, forcing: Forcing | None = None) -> None:
        self._drafters, self._forcing = drafters, forcing
        self._draw = draw
        self._asked = tuple(drafters)
        self._active: str | None = None
        self._branched = False  # whether the active drafter's draft is a tree
        self._shadows: list[ShadowProposal] = []
        self._readers = [drafter for drafter in drafters.values() if isinstance(drafter, Reader)]
        self.taps = _merged(reader.taps for reader in self._readers)
        """The target's layers that somebody reads, in the order of `read`'s columns."""

    @property
    def names(self) -> tuple[str, ...]:
        """What may draft."""
        return self._asked

    @property
    def every_name(self) -> tuple[str, ...]:
        """What may draft, or may be asked to."""
        return tuple(self._drafters)

    def is_model(self, name: str) -> bool:
        """See `Drafter.is_model`."""
        return self._drafters[name].is_model

    def steer(self, drafter: str | None, config: SpeculativeConfig) -> None:
        """From the next proposal on ask `drafter` only ("auto": all, "none": nobody, None: whom it was), and draw as
        `config` has it. The others stay in step, so that they may be asked again."""
        if drafter is not None:
            self._asked = tuple(name for name in self._drafters if drafter in ("auto", name))
        self._draw.rule = config.acceptance
        self._draw.least_confidence = config.acceptance_threshold

    def prefill(self, token_ids: Sequence[int], *, eager: bool) -> None:
        """Process a chunk of the prompt. Unless `eager`, a model reads it when it is first asked for a draft, so that
        one that does not pay costs nothing."""
        for drafter in self._drafters.values():
            if eager or not drafter.is_model:
                drafter.prefill(token_ids)
            else:
                drafter.commit(token_ids, 0)

    def points(self, length: int) -> dict[str, Snapshot]:
        """What those hold of a text of `length` tokens that have read just that, and cannot tell by stretches of it."""
        points = ((name, drafter.point(length)) for name, drafter in self._drafters.items())
        return {name: point for name, point in points if point is not None}

    def leave(self, blocks: Sequence[Block], spans: Sequence[Span]) -> None:
        """Have each leave in `blocks`, which are of `spans` of the text, what it has read. The answer is over."""
        for name, drafter in self._drafters.items():
            fill(blocks, spans, name, drafter.cut_up)

    def reach(self, blocks: Sequence[Block], length: int) -> int:
        """With how many of the first `length` tokens of the text of `blocks` all of them can begin."""
        for _ in self._drafters:  # one may hold back another, which may then reach less
            for name, drafter in self._drafters.items():
                length = drafter.reach(beginning_of(blocks, name), length)
        return length

    def begin(self, blocks: Sequence[Block], token_ids: Sequence[int]) -> None:
        """Have all of them begin behind `token_ids`, of which `blocks` are."""
        for name, drafter in self._drafters.items():
            drafter.begin(beginning_of(blocks, name), token_ids)

    def meanwhile(self) -> None:
        """Let all of them do what the host can do while the device is busy."""
        for drafter in self._drafters.values():
            drafter.meanwhile()

    def read(self, features: mx.array | None, token_ids: Sequence[int]) -> None:
        """Hand on the target's states `[n, len(taps) * hidden]` after each of `token_ids`, to each reader its own."""
        if features is None:
            return
        width = features.shape[-1] // len(self.taps)
        for reader in self._readers:
            places = [self.taps.index(tap) for tap in reader.taps]
            if places != list(range(len(self.taps))):
                columns = [features[:, place * width : (place + 1) * width] for place in places]
                reader.read(mx.concatenate(columns, axis=-1), token_ids)
            else:
                reader.read(features, token_ids)

    def mark(self) -> None:
        """Have all readers keep what is needed to begin behind what was read."""
        for reader in self._readers:
            reader.mark()

    def options(self, longest: int, *, trees: bool = False) -> list[Option]:
        """What each drafter could do now, up to `longest` tokens; with `trees` some may branch. What a client predicts
        comes first: it takes no pass, and is seldom wrong."""
        options = []
        self._shadows = []
        for name, drafter in self._drafters.items():
            limit = drafter.limit(longest)
            trust, forced = self._trust(drafter), min(limit, drafter.forced)
            option = Option(
                name, limit, trust, drafter.behind, forced=forced, guess=drafter.guess, alone=drafter.is_alone
            )
            if shadow := self._allowed(drafter.shadow(longest)):
                self._shadows.append(ShadowProposal(option, shadow))
            if option.limit > 0 and name in self._asked:
                branches = trees and isinstance(drafter, TreeDrafter) and drafter.takes_trees
                options.append(replace(option, trees=branches))
        return sorted(options, key=lambda option: option.guess is None)

    def proposing(self, plan: Plan, position: int, round_index: int) -> Levels[Draft | None]:
        """Ask the drafter that the plan names, level by level."""
        assert plan.drafter is not None
        self._active, drafter = plan.drafter, self._drafters[plan.drafter]
        if plan.shape is None:
            draft = yield from drafter.proposing(position, plan.length, round_index)
        else:
            assert isinstance(drafter, TreeDrafter), f"{plan.drafter} drafts chains"
            draft = yield from drafter.proposing_tree(position, plan.shape, round_index)
        self._branched = draft is not None and draft.tree is not None
        return self._trimmed(draft)

    def _trust(self, drafter: Drafter) -> int:
        """Under a grammar a model fares differently: 1, and 2 where forced text comes first."""
        if self._forcing is None or not drafter.is_model:
            return drafter.trust
        return 2 if self._forcing.forced() else 1

    def _allowed(self, token_ids: Sequence[int]) -> Sequence[int]:
        return token_ids[: self._forcing.allowed(token_ids)] if self._forcing is not None else token_ids

    def _trimmed(self, draft: Draft | None) -> Draft | None:
        """A chain that was not drawn without what no row of the target's could accept; who drew his tokens did so from
        what is allowed."""
        if self._forcing is None or draft is None or draft.scores is not None or draft.tree is not None:
            return draft
        count = self._forcing.allowed(cast(list[int], draft.token_ids.tolist()))
        return draft.first(count) if count else None

    def commit(self, token_ids: Sequence[int], path: Sequence[int] = ()) -> None:
        """Tell all of them the newest tokens, the first of which are the nodes of `path` in the active one's draft."""
        for name, drafter in self._drafters.items():
            if name == self._active and self._branched:
                assert isinstance(drafter, TreeDrafter)
                drafter.commit_tree(token_ids, path)
            else:
                drafter.commit(token_ids, len(path) if name == self._active else 0)
        self._active, self._branched = None, False

    def report_shadows(self, token_ids: Sequence[int], controller: LookaheadController) -> None:
        """Tell the controller how the proposals that were not used compare with the round's decided tokens."""
        for shadow in self._shadows:
            if shadow.option.drafter != self._active:
                pairs = list(zip(shadow.token_ids, token_ids, strict=False))
                accepted = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), len(pairs))
                controller.observe_shadow(shadow.option, len(pairs), accepted)


def taps_of(pair: ModelPair, names: Iterable[str]) -> tuple[int, ...]:
    """The target's layers that somebody reads where the drafters of these names may draft."""
    return _merged(pair.heads[name].taps for name in names if name in pair.heads)


def _merged(taps: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(taps)))


def make_roster(
    names: tuple[str, ...],
    pair: ModelPair,
    config: SpeculativeConfig,
    params: SamplingParams,
    noise: NoiseTable,
    penalties: Penalties,
    forcing: Forcing | None = None,
    prediction: Prediction | None = None,
) -> Roster:
    """The drafters of one request. `params` have a seed, as `noise` has; `forcing` is its grammar, if any."""
    temperature = params.temperature if config.draft_temperature is None else config.draft_temperature
    top_p = params.top_p if config.draft_top_p == 1.0 else config.draft_top_p
    drawn = replace(params, temperature=temperature, top_p=top_p)
    assert params.seed is not None
    draw = DrawSettings(
        drawn,
        config.acceptance,
        params.seed,
        noise,
        penalties,
        config.acceptance_threshold,
        config.kv_bits,
        None if forcing is None else forcing.forced,
        prediction=prediction,
    )
    drafters: dict[str, Drafter] = {}
    for name in names:
        drafters[name] = make_drafter(name, pair, draw, forcing)
    return Roster(drafters, draw, forcing)
