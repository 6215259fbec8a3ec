"""Hidden states of chosen layers, out of the same forward pass, for any mlx-lm model and without a copy of its code.

While a pass is built, the layers that somebody asked for are replaced by stand-ins that call them and keep what they
return. Afterwards the model is as it was; where nobody asks, nothing is done.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import mlx.core as mx

from mlx_spec.errors import UnsupportedModelError

LAST: Final = -1
"""The state behind the final norm: what the output layer is applied to."""


_NAME: Final = "_lookahead_taps"

RELAY: Final = "_lookahead_relay"
"""The name of what hangs on a model that has only some layers, see `RelayLike`."""


class RelayLike(Protocol):
    """What brings the states of layers from where they are to where the last ones are."""

    own: range

    def carrying(self, layers: Sequence[int], heard: dict[int, mx.array]) -> AbstractContextManager[None]:
        """Passes that are built inside do; `heard` then has those that are not here too."""


class Taps:
    """Where to listen in one model: `layers` are indices of decoder layers (0 is the first), and LAST.

    In a model that has only some layers of a pipeline (`models/splitting`), the states of the others come with the pass
    to where the last ones are; elsewhere other states stand in their places.

    Raises UnsupportedModelError for a layer that the model does not have.
    """

    def __init__(self, model: Any, layers: Sequence[int]) -> None:
        self.layers = tuple(layers)
        self._relay: RelayLike | None = vars(model).get(RELAY)
        # Where each listened-to module hangs: a list in the model, or a module's dictionary, and the key in it.
        self._places = {layer: self._place(model, layer) for layer in self.layers if self._is_here(layer)}

    def _is_here(self, layer: int) -> bool:
        return self._relay is None or layer == LAST or layer in self._relay.own

    def _place(self, model: Any, layer: int) -> tuple[Any, Any]:
        blocks = list(model.layers)
        if not -1 <= layer < len(blocks):
            raise UnsupportedModelError(
                f"A drafter wants the states of layer {layer}, and this target has layers 0 to {len(blocks) - 1}: "
                "it was made for another model."
            )
        wanted = blocks[self._relay.own[-1] if layer == LAST and self._relay is not None else layer]
        modules = model.modules()
        for module in modules:
            for value in module.values():
                if isinstance(value, list) and any(item is wanted for item in value):
                    if layer != LAST:
                        return value, next(i for i, item in enumerate(value) if item is wanted)
                    for parent in modules:
                        for key, child in parent.items():
                            if child is module:
                                return parent, key
        raise UnsupportedModelError(
            f"The hidden states of a {type(model).__module__.rpartition('.')[2]} model cannot be listened to: "
            "choose a drafter that does not read them."
        )

    @contextmanager
    def listening(self) -> Iterator[list[mx.array]]:
        """Build a pass inside; the list then holds one array `[batch, n, hidden]` for each of `layers`, in order."""
        heard: dict[int, mx.array] = {}
        states: list[mx.array] = []
        modules = {layer: container[key] for layer, (container, key) in self._places.items()}
        for layer, (container, key) in self._places.items():
            _put(container, key, _StandIn(modules[layer], layer, heard))
        try:
            with nullcontext() if self._relay is None else self._relay.carrying(self.layers, heard):
                yield states
        finally:
            for layer, (container, key) in self._places.items():
                _put(container, key, modules[layer])
        for layer in self.layers:
            if heard[layer].ndim != 3:
                raise UnsupportedModelError(
                    "This target keeps several hidden states for each token, which no drafter can read: choose one "
                    "that does not read the target's states."
                )
            states.append(heard[layer])


def taps_at(model: Any, layers: Sequence[int]) -> Taps:
    """Those of a model, found once: to look through its modules takes milliseconds. They hang on the model, as they
    hold its modules and should end with it."""
    kept: _Kept | None = vars(model).get(_NAME)
    if kept is None or kept.model is not model:  # a copy of a model has the attributes of the first
        kept = vars(model)[_NAME] = _Kept(model)
    if (key := tuple(layers)) not in kept.taps:
        kept.taps[key] = Taps(model, key)
    return kept.taps[key]


@dataclass(frozen=True, slots=True)
class _Kept:
    model: Any
    taps: dict[tuple[int, ...], Taps] = field(default_factory=dict)


class _StandIn:
    """Called like the module it stands in for, and everything else like it too."""

    def __init__(self, module: Any, layer: int, heard: dict[int, mx.array]) -> None:
        self._module, self._layer, self._heard = module, layer, heard

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._module(*args, **kwargs)
        self._heard[self._layer] = result[0] if isinstance(result, tuple) else result
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _put(container: Any, key: Any, module: Any) -> None:
    """Set an item past `nn.Module.__setattr__`, which takes only what has parameters for a child."""
    if isinstance(container, list):
        container[key] = module
    else:
        dict.__setitem__(container, key, module)
