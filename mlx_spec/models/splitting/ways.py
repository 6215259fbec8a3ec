"""Which ways there are to split a model over so many ranks, and why not the others: tried, without reading weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.splitting.dividing import divide, layers_of, refuse
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.pipeline import has_pipeline
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.splitting.split import Exactness, Split, Way
from mlx_spec.models.splitting.wire import NO_WIRE, WirePass, wire_of
from mlx_spec.models.weights import lazy_model, telling_what_fails

SameAs = Literal["one machine", "alone", "nothing"]
"""What a row's bits are the same as: those that one machine gives it; those that it has without the rows beside it; or
neither, from three ranks on."""

By = Literal["mlx-lm", "stand-ins"]


@dataclass(frozen=True, slots=True)
class FoundWay:
    """One way, and either how, or `why_not` as a sentence.

    `by` says whose code divides; `same_as` what the words are the same as. `nbytes` are of the weights that each rank
    holds, rank 0 first, and `wire` is what a pass sends on rank 0.
    """

    way: Way
    exactness: Exactness
    why_not: str | None = None
    by: By = "mlx-lm"
    same_as: SameAs = "one machine"
    layers: tuple[int, ...] | None = None
    nbytes: tuple[int, ...] = ()
    wire: WirePass = NO_WIRE

    @property
    def is_there(self) -> bool:
        """Whether the model can be split so."""
        return self.why_not is None


@dataclass(frozen=True, slots=True)
class SplitWays:
    """All ways for one model and number of ranks. `nbytes` is the whole model's weights."""

    name: str
    family: str
    ranks: int
    nbytes: int
    tensor_strict: FoundWay
    tensor_fast: FoundWay
    pipeline: FoundWay

    def __iter__(self) -> Iterator[FoundWay]:
        return iter((self.tensor_strict, self.tensor_fast, self.pipeline))

    def of(self, way: Way, exactness: Exactness) -> FoundWay:
        """One of them; a pipeline is the same whether strict or fast."""
        if way == "pipeline":
            return self.pipeline
        return self.tensor_strict if exactness == "strict" else self.tensor_fast

    def split(self, way: Way, exactness: Exactness = "strict") -> Split:
        """The split that goes this way. Raises UnsupportedModelError, with the sentence, where there is none."""
        found = self.of(way, exactness)
        if found.why_not is not None:
            raise UnsupportedModelError(found.why_not)
        return Split(way, self.ranks, exactness, found.layers)


def ways_of(folder: ModelFolder, ranks: int, room: Sequence[float] | None = None) -> SplitWays:
    """Try every way for the model in a folder over `ranks` machines. Reads the heads of its files, no weights. Whole
    layers are given out for the `room` that each rank has, in any unit, rank 0 first; None: as much each.

    Raises as `load_weights` does for a folder that cannot be loaded at all.
    """
    with telling_what_fails(folder):
        return ways_of_model(partial(lazy_model, folder), folder.name, ranks, room)


def ways_of_model(
    make: Callable[[], nn.Module], name: str, ranks: int, room: Sequence[float] | None = None
) -> SplitWays:
    """The same for what `make` builds, anew for each try, of weights that are not computed."""
    model = make()
    return SplitWays(
        name=name,
        family=family_of(model),
        ranks=ranks,
        nbytes=_nbytes(model),
        tensor_strict=_tensor(make, name, ranks, "strict"),
        tensor_fast=_tensor(make, name, ranks, "fast"),
        pipeline=_pipeline(make, name, ranks, room),
    )


def family_of(model: Any) -> str:
    """The file of mlx-lm's that has its code."""
    return type(model).__module__.rpartition(".")[2]


def _tensor(make: Callable[[], nn.Module], name: str, ranks: int, exactness: Exactness) -> FoundWay:
    split = Split("tensor", ranks, exactness)
    try:
        leader, follower = (_tried(make(), split, name, rank) for rank in (0, ranks - 1))
    except UnsupportedModelError as error:
        return FoundWay("tensor", exactness, error.user_message)
    share = share_of(leader)
    adds = exactness == "fast" or (share is not None and share.sums is not None and share.sums.adds)
    same_as: SameAs = "one machine" if not adds else "alone" if exactness == "strict" or ranks == 2 else "nothing"
    nbytes = (_nbytes(leader), *[_nbytes(follower)] * (ranks - 1))
    return FoundWay("tensor", exactness, same_as=same_as, nbytes=nbytes, wire=wire_of(leader))


def _pipeline(make: Callable[[], nn.Module], name: str, ranks: int, room: Sequence[float] | None) -> FoundWay:
    model = make()
    by: By = "mlx-lm" if has_pipeline(model) else "stand-ins"
    try:
        layers = layers_of(model, Split("pipeline", ranks), name, room)
        split = Split("pipeline", ranks, layers=layers)
        shares = [_tried(make(), split, name, rank) for rank in range(ranks)]
    except UnsupportedModelError as error:
        return FoundWay("pipeline", "strict", error.user_message, by=by)
    nbytes = tuple(_nbytes(share) for share in shares)
    return FoundWay("pipeline", "strict", by=by, layers=layers, nbytes=nbytes, wire=wire_of(shares[0]))


def _tried(model: Any, split: Split, name: str, rank: int) -> Any:
    """A model divided over ranks that are not there, after a pass that is never computed. Raises
    UnsupportedModelError."""
    width = _width(model)
    links = Links(None, rank, split.ranks)
    divide(model, split, links, name)
    try:
        with links.told():
            scored = _width(model)
        if rank == 0 and scored != width:
            raise ValueError(f"{scored} scores for {width}")
    except Exception as error:  # noqa: BLE001 - the family's own code, over shares of its weights: anything may come
        refuse(name, split, "a pass over what one of them would have fails", error)
    return model


def _width(model: Any) -> int:
    """Of what a model gives for a token, from its graph."""
    return int(model(mx.zeros((1, 1), dtype=mx.int32), cache=make_prompt_cache(model)).shape[-1])


def _nbytes(model: nn.Module) -> int:
    return sum(array.nbytes for _, array in tree_flatten(model.parameters()))
