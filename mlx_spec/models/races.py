"""What races on this machine brought, remembered for each pair of models: `races.json` in the data folder. A damaged
file counts as none, as races can be run again."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mlx_spec.errors import StorageError
from mlx_spec.machine.kept import read_kept
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.memory import blas_build, device_info
from mlx_spec.models.pairs import STARTER, Pair
from mlx_spec.models.starter import STARTER_NAME

_FILE: Final = "races.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceResult:
    """Plain decoding and speculation in turn, over the same prompts, on one machine.

    `ratio` is speculation's tokens a second over plain decoding's, `same_words` whether all answers were equal token
    for token, `day` as 2026-11-22.
    """

    target: str
    draft: str
    machine: str
    ratio: float
    plain_rate: float
    rate: float
    tokens: int
    answers: int
    same_words: bool
    day: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def this_machine() -> str:
    """What a speed depends on, in a few words: the device, and the BLAS where a CPU computes."""
    device = device_info()
    return device.name if device.kind == "gpu" else f"{platform.machine()} CPU, {blas_build()}"


def remembered(target: str, draft: str | None) -> RaceResult | None:
    """The last race of a target with a draft on this machine, None where there was none."""
    found = read_kept(_path()).get(_key(target, draft or "", this_machine()))
    try:
        return RaceResult(**found) if found is not None else None
    except TypeError:
        return None  # of another version


def measured(pair: Pair) -> RaceResult | None:
    """The last race of a known pair on this machine; models of the Hub are named without their owners when loaded."""
    if pair.name == STARTER:
        return remembered(STARTER_NAME, pair.draft)
    return remembered(pair.target.rpartition("/")[2], pair.draft.rpartition("/")[2])


def facts_of(pair: Pair) -> dict[str, Any]:
    """A known pair as JSON has it, with its last race on this machine as `measured`: null where there was none."""
    race = measured(pair)
    return asdict(pair) | {"measured": race.to_dict() if race else None}


def remember(result: RaceResult) -> None:
    """Keep a result in the place of the one before. Raises StorageError."""
    races = read_kept(_path()) | {_key(result.target, result.draft, result.machine): result.to_dict()}
    path = _path()
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(races, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(f"The race could not be written down in {path} ({error.strerror}).") from error


def _key(target: str, draft: str, machine: str) -> str:
    return f"{target} + {draft} on {machine}"


def _path() -> Path:
    return data_folder() / _FILE
