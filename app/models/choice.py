"""What is chosen in the models window, and what is known of it. Knows no Qt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.engine.model_records import InstalledModel, Judgement, ModelGroup, Pair, Refusal, Room

# As in mlx_spec/models/room.py: beyond this part of the memory other programs begin to suffer.
COMFORTABLE = 0.8
BUILT_IN = "starter"


@dataclass(frozen=True, slots=True)
class Choice:
    """A target, perhaps with a draft; `pair` is the name of a known pair, empty for any other two."""

    target: str
    draft: str = ""
    pair: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The models of the Hub that it consists of: no folders and files, and not the starter, which is built in."""
        if self.pair == BUILT_IN:
            return ()
        return tuple(name for name in (self.target, self.draft) if name and not Path(name).is_absolute())

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `mlx-spec serve` is told to load it."""
        if self.pair:
            return ("--pair", self.pair)
        return ("--target", self.target, *(("--draft", self.draft) if self.draft else ()))


def choice_of(pair: Pair) -> Choice:
    """A known pair as a choice."""
    return Choice(pair.target, pair.draft, pair.name)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list: a heading where `choice` is None, else what choosing it means."""

    title: str
    detail: str = ""
    mark: str = ""
    choice: Choice | None = None
    pair: Pair | None = None
    model: InstalledModel | None = None
    group: ModelGroup | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A choice judged as a whole: sizes in bytes, added up over target and draft; None where one of them is unknown.

    `missing` are the models still to be fetched.
    """

    fetch_bytes: int | None
    needed_bytes: int | None
    available_bytes: int | None
    room: Room
    missing: tuple[str, ...]


def estimate(choice: Choice, judged: Mapping[str, Judgement | Refusal], installed: set[str]) -> Estimate:
    """Add up what is known of the models of `choice`; `installed` are the names of those that can be used."""
    missing = tuple(name for name in choice.names if name not in installed)
    found = [judged.get(name) for name in choice.names]
    known = [one for one in found if isinstance(one, Judgement)]
    if len(known) < len(found) or not found:
        return Estimate(None, None, None, "unknown", missing)
    fetch = sum(one.fetch_bytes for one in known)
    available = known[0].available_bytes
    needs = [one.needed_bytes for one in known if one.needed_bytes is not None]
    # A head has no memory of its own that could be told, but its files are loaded whole.
    needed = sum(needs) + sum(one.total_bytes for one in known[1:] if one.needed_bytes is None)
    if known[0].room in ("no", "unknown"):
        return Estimate(fetch, known[0].needed_bytes, available, known[0].room, missing)
    room: Room = "no" if needed > available else "tight" if needed > COMFORTABLE * available else "fits"
    return Estimate(fetch, needed, available, room, missing)
