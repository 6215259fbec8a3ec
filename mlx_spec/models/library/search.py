"""Words, names and addresses → models: known pairs first, then what is installed, then what the Hub has."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from mlx_spec.errors import DownloadError, ModelNotFoundError
from mlx_spec.models.hub_names import nearest, repo_id_of, split_revision
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.ask import ask_hub
from mlx_spec.models.library.cache import InstalledModel, installed_models
from mlx_spec.models.pairs import PAIRS, Pair

_COMMUNITY: Final = "mlx-community"
_LIMIT: Final = 60
_QUANTISATION: Final = re.compile(
    r"[-_.](?P<bits>(?:q?\d(?:[._]\d)?[-_]?bits?|bf16|fp16|fp8|f16|f32|mxfp4|nvfp4|dwq|qat|awq|gptq|mlx)(?:[-_.]\w+)*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model that the Hub has. `variant` is its quantisation as its name says it, "" where it says none."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search found. `offline` is why the Hub was not heard, None where it was: then all is installed models.

    `near` are names that may have been meant, where a name was given that nobody has.
    """

    pairs: tuple[Pair, ...]
    installed: tuple[InstalledModel, ...]
    available: tuple[ModelGroup, ...]
    near: tuple[str, ...] = ()
    offline: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def search(text: str, access: HubAccess) -> Findings:
    """Look for `text`: words, `owner/name` or an address. Raises StorageError where the cache cannot be read."""
    wanted = _query(text)
    query = split_revision(wanted)[0]
    everything = installed_models(access)
    words = query.lower().replace("/", " ").split()
    installed = tuple(model for model in everything if _has(model.name, words))
    pairs = tuple(pair for pair in PAIRS.values() if _has(f"{pair.name} {pair.target} {pair.draft}", words))
    try:
        answers = _ask(query, access)
    except DownloadError as error:
        return Findings(pairs=pairs, installed=installed, available=(), near=(), offline=str(error))
    here = {model.name for model in everything}
    groups = _grouped(_found(answers, here, wanted))
    near: tuple[str, ...] = ()
    if not groups and not installed and words:
        near = tuple(near_names(query, access, [model.name for model in everything]))
    return Findings(pairs=pairs, installed=installed, available=groups, near=near)


def near_names(name: str, access: HubAccess, known: Iterable[str] = ()) -> list[str]:
    """Models whose names come near `name`, for one that nobody has: of the pairs, of `known`, and of the Hub."""
    stock = [*known, *(one for pair in PAIRS.values() for one in (pair.target, pair.draft) if "/" in one)]
    owner, _, model = name.rpartition("/")
    # The Hub finds parts of names: the longest words of it are least likely to be the mistyped ones all together.
    words = sorted(re.split(r"[^A-Za-z0-9.]+", model), key=len, reverse=True)
    for word in [word for word in words if len(word) > 2][:3]:
        try:
            stock += [answer["id"] for answer in _models({"search": word, "limit": _LIMIT}, access)]
            if owner:
                stock += [answer["id"] for answer in _models({"author": owner, "limit": _LIMIT}, access)]
        except DownloadError:
            break  # what is known without a network will do
    return nearest(name, dict.fromkeys(stock))


def not_found_with_hint(error: DownloadError, repo_id: str, access: HubAccess) -> DownloadError:
    """`error`, with the nearest names added where it says that there is no such model."""
    name, revision = split_revision(repo_id)
    near = near_names(name, access) if error.kind == "not_found" else []
    if not near or (revision is not None and name in near):
        return error  # it is the revision that is not there
    said = f"{str(error).rstrip('.')}; is it {' or '.join(near)}?"
    return DownloadError(said, error.kind, page=error.page, details=error.details)


def _query(text: str) -> str:
    try:
        return repo_id_of(text)
    except ModelNotFoundError:
        return text.strip()


def _has(name: str, words: list[str]) -> bool:
    folded = name.lower()
    return all(word in folded for word in words)


def _ask(query: str, access: HubAccess) -> list[dict[str, Any]]:
    """mlx-community's models, and then others' in MLX's own format; a full name is looked up whoever made it."""
    owner, _, name = query.rpartition("/")
    asked: list[dict[str, str | int]] = [{"search": name, "author": owner, "limit": _LIMIT}] if owner else []
    asked += [
        {"search": name, "author": _COMMUNITY, "sort": "downloads", "limit": _LIMIT},
        {"search": name, "filter": "mlx", "sort": "downloads", "limit": _LIMIT},
    ]
    answers = [answer for params in asked for answer in _models(params, access)]
    return list({answer["id"]: answer for answer in answers}.values())


def _models(params: dict[str, str | int], access: HubAccess) -> list[dict[str, Any]]:
    answer = ask_hub("api/models", "the search", access, params)
    return [model for model in answer if isinstance(model, dict) and isinstance(model.get("id"), str)]


def _found(answers: list[dict[str, Any]], here: set[str], wanted: str) -> list[FoundModel]:
    """What the Hub answered; the model that was asked for by its full name is found at the revision that was said."""
    full = {split_revision(wanted)[0]: wanted}
    named = [(full.get(answer["id"], answer["id"]), answer) for answer in answers]
    return [
        FoundModel(
            repo_id=name,
            variant=split_name(name)[1],
            downloads=int(answer.get("downloads") or 0),
            gated=bool(answer.get("gated")),
            installed=name in here,
        )
        for name, answer in named
    ]


def _grouped(models: list[FoundModel]) -> tuple[ModelGroup, ...]:
    groups: dict[str, list[FoundModel]] = {}
    for model in models:
        groups.setdefault(split_name(model.repo_id)[0], []).append(model)
    ordered = sorted(groups.items(), key=lambda group: -sum(model.downloads for model in group[1]))
    return tuple(ModelGroup(base, tuple(sorted(found, key=lambda model: -model.downloads))) for base, found in ordered)


def split_name(repo_id: str) -> tuple[str, str]:
    """A model's own name and its quantisation: "mlx-community/Qwen3-8B-4bit" is ("Qwen3-8B", "4bit").

    A revision belongs to the name: it is another model.
    """
    name, revision = split_revision(repo_id)
    name = name.rpartition("/")[2]
    variants: list[str] = []
    while found := _QUANTISATION.search(name):
        name = name[: found.start()]
        variants.insert(0, found["bits"])
    return name if revision is None else f"{name}@{revision}", "-".join(variants)
