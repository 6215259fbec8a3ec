"""Whether a model is worth fetching here: its bytes, its licence, whether mlx-lm knows it, and whether it fits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlx_spec.errors import DownloadError, UnsupportedModelError
from mlx_spec.models.estimate import MemoryEstimate, estimate, is_supported
from mlx_spec.models.files.context import context_of
from mlx_spec.models.files.rope import with_rope
from mlx_spec.models.hub_names import repo_id_of
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.ask import ask_hub
from mlx_spec.models.library.cache import cached_folder
from mlx_spec.models.library.remote import RemoteModel, list_remote
from mlx_spec.models.library.search import not_found_with_hint
from mlx_spec.models.room import USUAL_CONTEXT, Room, available_bytes, weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known of a model before it is fetched. Sizes in bytes.

    `room` compares `needed_bytes` (target, draft, caches and working memory at `context_tokens`) with what the machine
    has, `available_bytes`; `reason` is that in a sentence. `longest_context_tokens` is what the model was made for.
    """

    repo_id: str
    fetch_bytes: int
    total_bytes: int
    licence: str | None
    gated: bool
    model_type: str | None
    supported: bool | None
    longest_context_tokens: int | None
    context_tokens: int
    memory: MemoryEstimate | None
    needed_bytes: int | None
    available_bytes: int
    room: Room
    reason: str
    page: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def judge_named(name: str, access: HubAccess, *, context_tokens: int | None = None) -> Judgement:
    """Judge a model by what a person calls it: a Hub id, or the address of its page. Raises LookaheadError, with the
    names that are like it where there is no such model."""
    repo_id = repo_id_of(name)
    try:
        return judge(repo_id, access, context_tokens=context_tokens)
    except DownloadError as error:
        raise not_found_with_hint(error, repo_id, access) from error


def judge(
    repo_id: str, access: HubAccess, *, context_tokens: int | None = None, draft: MemoryEstimate | None = None
) -> Judgement:
    """Judge a model of the Hub; `draft` is what its draft will take besides. Raises DownloadError.

    Fetches its listing and its config.json, a few kilobytes, and nothing into the cache.
    """
    model = list_remote(repo_id, access)
    config = _config(model, access)
    longest = context_of(config)
    context = min(context_tokens or USUAL_CONTEXT, longest or context_tokens or USUAL_CONTEXT)
    supported = is_supported(config) if "model_type" in config else None
    memory = _memory(config, model.weights_bytes, context) if supported else None
    needed = memory.total_bytes + (draft.total_bytes if draft else 0) if memory else None
    # Without an estimate, the weights alone say when there is no hope.
    available = available_bytes()
    room, reason = weigh(repo_id, needed or model.weights_bytes, available, sure=needed is not None)
    if supported is False:
        kind = config.get("model_type")
        room, reason = "no", f"{repo_id} is of the type {kind!r}, which this version of mlx-lm does not know."
    return Judgement(
        repo_id=repo_id,
        fetch_bytes=model.bytes_to_fetch(access),
        total_bytes=model.total_bytes,
        licence=model.licence,
        gated=model.gated,
        model_type=config.get("model_type"),
        supported=supported,
        longest_context_tokens=longest,
        context_tokens=context,
        memory=memory,
        needed_bytes=needed,
        available_bytes=available,
        room=room,
        reason=reason,
        page=access.page(repo_id),
    )


def _memory(config: Mapping[str, Any], weights_bytes: int, context: int) -> MemoryEstimate | None:
    try:
        return estimate(config, weights_bytes, context)
    except UnsupportedModelError:
        return None  # known by name, but not to be built from what its configuration says


def _config(model: RemoteModel, access: HubAccess) -> Mapping[str, Any]:
    """config.json as `with_rope` gives it, from the cache, else from the Hub; of a gated model only what the listing
    repeats."""
    folder = cached_folder(model.repo_id, access)
    if folder is not None:
        return folder.config
    address = access.file_address(model.repo_id, model.commit, "config.json")
    try:
        config = ask_hub(address.removeprefix(f"{access.endpoint}/"), model.repo_id, access)
    except DownloadError as error:
        if error.kind in ("gated", "token", "not_found"):
            return with_rope(model.config)
        raise
    return with_rope(config if isinstance(config, dict) else model.config)
