"""A whole model, whose weights were not read yet, made into a rank's part of it."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.splitting.balance import balanced
from mlx_spec.models.splitting.ends import Ends, divide_ends, ends_of, give_ends
from mlx_spec.models.splitting.flow import NotPlainError, flow_of
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.pipeline import check_kinds, give_out
from mlx_spec.models.splitting.places import calls_through
from mlx_spec.models.splitting.share import Share
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.tensor import HeadsError, shard
from mlx_spec.models.splitting.ties import tie
from mlx_spec.models.taps import RELAY


def divide(model: Any, split: Split, links: Links, name: str) -> None:
    """Have `model` be this rank's part, lazily. Raises UnsupportedModelError, which calls the model `name`."""
    if split.way == "pipeline":
        _by_layers(model, split, links, name)
    else:
        _in_layers(model, split, links, name)


def layers_of(model: Any, split: Split, name: str, room: Sequence[float] | None = None) -> tuple[int, ...]:
    """How many layers each rank of a pipeline has, rank 0 first: as the split says, or so that they hold bytes alike
    for the `room` that each has (in any unit; None: all the same). Raises UnsupportedModelError."""
    blocks = list(model.layers)
    if split.layers is None:
        if len(blocks) < split.ranks:
            refuse(name, split, f"it has {len(blocks)} layers, and each of {split.ranks} machines needs one")
        kinds = [type(cache) for cache in make_prompt_cache(model)]
        return _by_bytes(blocks, kinds, ends_of(model), room or [1.0] * split.ranks)
    if len(split.layers) != split.ranks or min(split.layers) < 1 or sum(split.layers) != len(blocks):
        told = ", ".join(map(str, split.layers))
        refuse(
            name, split, f"{told} are not its {len(blocks)} layers for {split.ranks} machines, one for each at least"
        )
    return split.layers


def _by_bytes(
    blocks: Sequence[Any], kinds: Sequence[type], ends: Ends | None, room: Sequence[float]
) -> tuple[int, ...]:
    first = last = 0
    if ends is not None:
        embedding = _nbytes(ends.embedding[0][ends.embedding[1]])
        first = 0 if ends.is_handed_on else embedding
        last = embedding if ends.head is None else _nbytes(ends.head[0][ends.head[1]])
    every = set(kinds)

    def has_every_kind(begin: int, end: int) -> bool:
        return len(kinds) != len(blocks) or set(kinds[begin:end]) == every

    return balanced([_nbytes(block) for block in blocks], first, last, room, has_every_kind)


def _nbytes(module: nn.Module) -> int:
    return sum(array.nbytes for _, array in tree_flatten(module.parameters()))


def _by_layers(model: Any, split: Split, links: Links, name: str) -> None:
    layers, ends = layers_of(model, split, name), ends_of(model)
    try:
        flow = flow_of(model)
        check_kinds(make_prompt_cache(model), layers)
        relay = give_out(model, links, layers, flow)
    except NotPlainError as error:
        refuse(name, split, str(error), error)
    if ends is not None:
        give_ends(ends, links, relay)
    vars(model)[RELAY] = relay
    vars(model)[Share.NAME] = Share(split, links, relay, None)


def _in_layers(model: Any, split: Split, links: Links, name: str) -> None:
    if not hasattr(model, "shard"):
        refuse(name, split, f"mlx-lm has no way to do that for {type(model).__module__.rpartition('.')[2]} models")
    ends = ends_of(model)
    try:
        sums = shard(model, links, strict=split.exactness == "strict")
    except HeadsError as error:
        refuse(name, split, str(error), error)
    except (ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
        refuse(name, split, _indivisible(model, split), error)
    if ends is not None:
        divide_ends(ends, links)
    calls_through(model.layers[-1], _tied)
    vars(model)[Share.NAME] = Share(split, links, None, sums)


def _tied(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The last layer, whose collectives are made whenever what it stores is read."""
    result = call(*args, **kwargs)
    after = result[0] if isinstance(result, tuple) else result
    for value in (*args, *kwargs.values()):
        tie(value, after)
    return result


def _indivisible(model: Any, split: Split) -> str:
    # Not of the first layers, which may be divided already.
    flags = [flag for module in model.layers[-1].modules() for flag in vars(module).items()]
    heads = sorted({value for key, value in flags if "heads" in key and type(value) is int and value % split.ranks})
    if heads:
        return f"{split.ranks} does not divide its {' or '.join(map(str, heads))} heads"
    sizes = {module.group_size for module in model.modules() if hasattr(module, "group_size")}
    if split.exactness == "fast" and sizes:
        groups = " and ".join(map(str, sorted(sizes)))
        return f"a width of its layers, or its groups of {groups} quantised numbers, do not divide by {split.ranks}"
    return f"a width of its layers does not divide by {split.ranks}"


def refuse(name: str, split: Split, why: str, error: Exception | None = None) -> NoReturn:
    """Raise UnsupportedModelError; `why` is the end of the sentence."""
    parts = "whole layers" if split.way == "pipeline" else "a part of each layer"
    raise UnsupportedModelError(
        f"{name} cannot be split over {split.ranks} machines with {parts} on each ({split.way}): {why}.",
        details=repr(error) if error is not None else "",
    ) from error
