"""The names of models that a request may ask for: the one served from the start, and those on this machine."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mlx_spec.errors import ModelNotFoundError
from mlx_spec.server.engine.served import Pair

_TAG: Final = ":latest"
"""What Ollama's clients put behind a name that says no version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model that may be asked for. `size_bytes` and `used_s`, in seconds since 1970, are None where nobody knows."""

    name: str
    size_bytes: int | None = None
    used_s: float | None = None
    folder: str | None = None
    source: Literal["hub", "imported", "pair"] = "hub"

    @property
    def target(self) -> str:
        """What `load_pair` knows it by: what was imported has no name there."""
        return self.folder if self.source == "imported" and self.folder is not None else self.name


class Names:
    """`own`, its `aliases` and the loaded pair's names are the model that is served from the start. What else is there
    is what `others` lists, read from the disk each time; None where this server has only its own."""

    def __init__(
        self, own: str, aliases: Collection[str], others: Callable[[], Sequence[Listed]] | None = None
    ) -> None:
        self.own = own
        self._aliases = {own, "default", *aliases}
        self._others = others

    def is_own(self, name: str | None, pair: Pair | None) -> bool:
        """Whether `name` is the model that is served from the start; it is where there is none."""
        if not name:
            return True
        names = self._aliases | ({pair.name, pair.target_name} if pair is not None else set())
        return name in names or name.removesuffix(_TAG) in names

    def own_listed(self, pair: Pair | None) -> Listed:
        """The model that is served from the start, with what is known of its `pair`'s target. Reads the disk."""
        name = pair.target_name if pair is not None else self.own
        for one in self._others() if self._others is not None else ():
            if name in (one.name, one.name.rpartition("/")[2]):
                return replace(one, name=self.own)
        return Listed(name=self.own)

    def others(self) -> list[Listed]:
        """What else may be asked for, by name. Reads the disk."""
        return [one for one in self._others() if one.name not in self._aliases] if self._others is not None else []

    def find(self, name: str) -> str:
        """The whole name of another model: `name` may lack the owner, and be written in other letters. Reads the disk.
        Raises ModelNotFoundError."""
        if self._others is None:
            raise ModelNotFoundError(f"There is no model {name!r} here: this server runs {self.own!r}.")
        wanted = name.removesuffix(_TAG).lower()
        known = [one.name for one in self._others()]
        exact = [one for one in known if one in (name, name.removesuffix(_TAG))]
        close = [one for one in known if wanted in (one.lower(), one.lower().rpartition("/")[2])]
        if found := exact or close:
            if len(found) > 1:
                raise ModelNotFoundError(f"{name!r} may be {' or '.join(sorted(found))}: give the whole name.")
            return found[0]
        raise ModelNotFoundError(
            f"There is no model {name!r} here: this server runs {self.own!r}, and loads what `mlx-spec models list`"
            " shows."
        )


def on_this_machine() -> list[Listed]:
    """The installed models that can be used, and the known pairs of which both are there, by name."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import installed_models
    from mlx_spec.models.pairs import PAIRS

    installed = {model.name: model for model in installed_models(hub_access()) if model.usable}
    models = [
        Listed(name=one.name, size_bytes=one.size_bytes, used_s=one.last_used_s, folder=one.folder, source=one.source)
        for one in installed.values()
    ]
    pairs = [
        Listed(
            name=pair.name,
            size_bytes=sum(installed[one].size_bytes for one in (pair.target, pair.draft)),
            source="pair",
        )
        for pair in PAIRS.values()
        if pair.target in installed and pair.draft in installed
    ]
    return sorted([*models, *pairs], key=lambda one: one.name.lower())


def target_of(name: str) -> str:
    """What `load_pair` knows the model `name` by. Reads the disk."""
    return next((one.target for one in on_this_machine() if one.name == name), name)
