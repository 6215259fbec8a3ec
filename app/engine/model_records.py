"""What the engine tells of models, as values. Knows no Qt and no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Room = Literal["fits", "tight", "no", "unknown"]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """A target with a draft known to fit; `note` says why. `kind` is "same", "bridged" or "head". `published` is a
    speed-up that others measured, and where."""

    name: str
    target: str
    draft: str
    note: str
    kind: str
    verified: bool
    published: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A pair that fits the engine's machine. Sizes in bytes and speeds in tokens a second, reckoned by the engine; a
    speed is None where it cannot tell. `raced` is the last race's speed-up on that machine."""

    pair: Pair
    role: str
    weights_bytes: int
    needed_bytes: int
    plain_rate: float | None
    drafted_rate: float | None
    raced: float | None = None


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Pairs for a machine with so much memory, and at so much of its memory's speed, in bytes a second."""

    found: tuple[Suggestion, ...]
    available_bytes: int
    bandwidth: float | None = None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on the engine's machine. `problem` says what is missing where it is not `usable`."""

    name: str
    folder: str
    source: str
    size_bytes: int
    last_used_s: float
    usable: bool
    problem: str


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of the Hub; `variant` is its quantisation, empty where its name tells none."""

    repo_id: str
    variant: str
    downloads: int
    gated: bool
    installed: bool


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """The quantisations of one model, the most fetched first."""

    base: str
    models: tuple[FoundModel, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a search found. `offline` says why the Hub was not heard, empty where it was."""

    pairs: tuple[Pair, ...]
    installed: tuple[InstalledModel, ...]
    available: tuple[ModelGroup, ...]
    near: tuple[str, ...] = ()
    offline: str = ""


@dataclass(frozen=True, slots=True)
class Stock:
    """Everything installed; `total_bytes` counts once what several models share."""

    models: tuple[InstalledModel, ...] = ()
    total_bytes: int = 0
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a model would take. Sizes in bytes; None where nobody can tell."""

    repo_id: str
    fetch_bytes: int
    total_bytes: int
    licence: str
    gated: bool
    model_type: str
    supported: bool | None
    longest_context_tokens: int | None
    context_tokens: int
    weights_bytes: int | None
    cache_bytes: int | None
    working_bytes: int | None
    needed_bytes: int | None
    available_bytes: int
    room: Room
    reason: str
    page: str


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where the engine looks for models, where they lie once they were moved, and the hub that is asked."""

    folder: str
    lies_in: str
    endpoint: str
    moved_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LoadedMemory:
    """What the loaded models and the engine's process take, and what was expected at a full context; in bytes.

    `unload_after_s` seconds without a request let the models go; None keeps them.
    """

    models_bytes: int
    process_bytes: int
    expected_bytes: int | None
    context_tokens: int
    unload_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the engine did not do something: a sentence, the `kind` of failure and a page that may help, or empty."""

    message: str
    kind: str = ""
    page: str = ""


def parse_pairs(body: Json) -> tuple[Pair, ...]:
    """The known pairs of `body`."""
    return tuple(_pair(one) for one in body["pairs"])


def parse_suggestions(body: Json) -> Suggestions:
    """The answer of /v1/models/suggestions."""
    found = tuple(
        Suggestion(
            pair=_pair(one["pair"]),
            role=text_of(one.get("role")),
            weights_bytes=int(one["weights_bytes"]),
            needed_bytes=int(one["needed_bytes"]),
            plain_rate=number_of(one.get("plain_rate")),
            drafted_rate=number_of(one.get("drafted_rate")),
            raced=number_of((one["pair"].get("measured") or {}).get("ratio")),
        )
        for one in body["suggestions"]
    )
    return Suggestions(found, int(body["available_bytes"]), number_of(body.get("bandwidth_bytes_per_s")))


def parse_findings(body: Json) -> Findings:
    """The answer of a search."""
    groups = tuple(
        ModelGroup(str(group["base"]), tuple(_found(one) for one in group["models"])) for group in body["available"]
    )
    near = tuple(str(name) for name in body.get("near") or ())
    return Findings(parse_pairs(body), _installed(body["installed"]), groups, near, text_of(body.get("offline")))


def parse_stock(body: Json) -> Stock:
    """The answer of /v1/models/installed."""
    return Stock(_installed(body["models"]), int(body["total_bytes"]), text_of(body.get("folder")))


def parse_place(body: Json) -> ModelPlace:
    """The answer of /v1/models/place and of what changes it."""
    return ModelPlace(
        str(body["folder"]), str(body["lies_in"]), str(body["endpoint"]), int(body.get("moved_bytes") or 0)
    )


def parse_memory(body: Json) -> LoadedMemory:
    """The answer of /v1/models/memory."""
    expected = body.get("expected") or {}
    needed, context = whole_of(expected.get("needed_bytes")), int(expected.get("context_tokens") or 0)
    return LoadedMemory(
        int(body["models_bytes"]), int(body["process_bytes"]), needed, context, number_of(body.get("unload_after_s"))
    )


def parse_judgement(body: Json) -> Judgement:
    """The answer of /v1/models/judge."""
    memory = body.get("memory") or {}
    room = body.get("room")
    return Judgement(
        repo_id=str(body["repo_id"]),
        fetch_bytes=int(body["fetch_bytes"]),
        total_bytes=int(body["total_bytes"]),
        licence=text_of(body.get("licence")),
        gated=body.get("gated") is True,
        model_type=text_of(body.get("model_type")),
        supported=body.get("supported"),
        longest_context_tokens=whole_of(body.get("longest_context_tokens")),
        context_tokens=int(body.get("context_tokens") or 0),
        weights_bytes=whole_of(memory.get("weights_bytes")),
        cache_bytes=whole_of(memory.get("cache_bytes")),
        working_bytes=whole_of(memory.get("working_bytes")),
        needed_bytes=whole_of(body.get("needed_bytes")),
        available_bytes=int(body["available_bytes"]),
        room=room if room in ("fits", "tight", "no") else "unknown",
        reason=text_of(body.get("reason")),
        page=text_of(body.get("page")),
    )


def parse_refusal(body: Json) -> Refusal:
    """The `error` object of `body`."""
    error = body["error"]
    return Refusal(str(error["message"]), text_of(error.get("code")), text_of(error.get("page")))


def _pair(one: Json) -> Pair:
    return Pair(
        str(one["name"]),
        str(one["target"]),
        str(one["draft"]),
        text_of(one.get("note")),
        text_of(one.get("kind")) or "same",
        one.get("verified") is True,
        text_of(one.get("published")),
    )


def _installed(models: Sequence[Json]) -> tuple[InstalledModel, ...]:
    return tuple(
        InstalledModel(
            name=str(one["name"]),
            folder=text_of(one.get("folder")),
            source=text_of(one.get("source")),
            size_bytes=int(one["size_bytes"]),
            last_used_s=float(one.get("last_used_s") or 0),
            usable=one.get("usable") is not False,
            problem=text_of(one.get("problem")),
        )
        for one in models
    )


def _found(one: Json) -> FoundModel:
    return FoundModel(
        repo_id=str(one["repo_id"]),
        variant=text_of(one.get("variant")),
        downloads=int(one.get("downloads") or 0),
        gated=one.get("gated") is True,
        installed=one.get("installed") is True,
    )


def text_of(value: object) -> str:
    """A string of the engine's, empty where it tells none."""
    return value if isinstance(value, str) else ""


def whole_of(value: object) -> int | None:
    """A whole number of the engine's, None where it tells none."""
    return int(value) if isinstance(value, int | float) else None


def number_of(value: object) -> float | None:
    """A number of the engine's, None where it tells none."""
    return float(value) if isinstance(value, int | float) else None
