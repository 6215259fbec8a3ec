"""The models that may be in memory together, each with its desk. For the engine's thread; others may read."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.server.engine.desk import Desk
from mlx_spec.server.engine.job import Job
from mlx_spec.server.engine.models import Models
from mlx_spec.server.engine.served import BatchMaker, Loader
from mlx_spec.server.engine.unloading import Unloading

LoaderOf = Callable[[str], Loader]
"""The loader of a model by its name."""

_OWN: Final = None
"""The name of the model that is served from the start."""


@dataclass(frozen=True, slots=True)
class Place:
    """Models, and those who are answered by them."""

    models: Models
    desk: Desk


class Fleet:
    """Has at most `most` models in memory: where one more is asked for, the one that was used least recently goes, as
    soon as nobody is answered by it. The one that is served from the start is known for ever, also while it is not in
    memory; of any other nothing is left."""

    def __init__(
        self,
        load: Loader,
        unloading: Unloading[Any] | None,
        make_batch: BatchMaker,
        settings: BatchSettings,
        ended: Callable[[Job], None],
        *,
        load_named: LoaderOf | None = None,
        most: int = 1,
    ) -> None:
        def place(loader: Loader) -> Place:
            models = Models(loader, unloading, make_batch, settings)
            return Place(models, Desk(models, ended))

        self._place, self._load_named, self._most = place, load_named, most
        self.own = place(load)
        self._places: OrderedDict[str | None, Place] = OrderedDict({_OWN: self.own})  # the newest used at the end
        self.newest = self.own
        """The one that was used last, or is being loaded."""

    @property
    def places(self) -> list[Place]:
        """All that there are."""
        return list(self._places.values())

    def find(self, model: str | None) -> Place | None:
        """The place of a model; None where nothing of it is in memory."""
        return self._places.get(model)

    def loaded(self) -> list[str | None]:
        """The names of those in memory, the newest used first; None is the one that is served from the start."""
        return [name for name, place in reversed(list(self._places.items())) if place.models.are_loaded]

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to step for."""
        return all(place.desk.is_idle for place in self.places)

    def ready(self, model: str | None, check: Callable[[], None]) -> Place | None:
        """The place of `model`, loaded where it must be; where that fails its status tells why. None where it has to
        wait until others are answered. `check` is as for `Models.load`."""
        place = self._places.get(model)
        if place is None or place.models.is_let_go:
            if not self._has_room(model):
                return None
            place = self._loaded(model, check)
        if model in self._places:
            self._places.move_to_end(model)
            self.newest = place
        return place

    def let_go(self, model: str | None, reason: str) -> None:
        """Free the memory of a model that nobody is answered by; the `reason` is a part of a sentence."""
        place = self._places.get(model)
        if place is None or not place.desk.is_idle:
            return
        place.models.let_go(reason)
        self._forget(model)

    def let_go_where_due(self) -> None:
        """As `Models.let_go_where_due`, of each that nobody is answered by."""
        for name, place in list(self._places.items()):
            if place.desk.is_idle:
                place.models.let_go_where_due()
                if place.models.is_let_go:
                    self._forget(name)

    @property
    def check_s(self) -> float | None:
        """How often to look whether they are still used, in seconds; None where there is nothing to let go."""
        return min((one for place in self.places if (one := place.models.check_s) is not None), default=None)

    def step(self) -> None:
        """A step of the answers of each."""
        for place in self.places:
            place.desk.step()

    def forget(self, owner: str | None) -> None:
        """As `Desk.forget`, of each."""
        for place in self.places:
            place.desk.forget(owner)

    def close(self) -> None:
        """Let go of all that is under way, on the thread that owns its arrays."""
        for place in self.places:
            place.desk.close()
            place.models.let_go_of_warming()

    def _has_room(self, model: str | None) -> bool:
        """Whether one more may be loaded now, with those let go that are in the way."""
        in_memory = [(name, place) for name, place in self._places.items() if place.models.are_loaded]
        idle: Iterator[str | None] = iter([name for name, place in in_memory if place.desk.is_idle])
        goes = [name for name, _ in zip(idle, range(len(in_memory) + 1 - self._most), strict=False)]
        if len(in_memory) - len(goes) >= self._most:
            return False
        for name in goes:
            self.let_go(name, f"{model or 'the first model'} was asked for")
        return True

    def _loaded(self, model: str | None, check: Callable[[], None]) -> Place:
        place = self.own
        if model is not None:
            assert self._load_named is not None, "only a server with a loader by name is asked for one"
            place = self._place(self._load_named(model))
        self.newest = place  # its status is what is told meanwhile
        place.models.load(check)
        if model is not None:
            if not place.models.are_loaded:
                self.newest = self.own
                return place
            self._places[model] = place
        return place

    def _forget(self, model: str | None) -> None:
        if model is not None:
            place = self._places.pop(model)
            if self.newest is place:
                self.newest = self.own
