"""From options to a filled report of servers: starts those that were not given by an address, and hands them over."""

import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.models import ModelChoice, kept_calibrations
from mlx_spec.bench.paired.own_server import check_checkout, own_server, wait_until_idle
from mlx_spec.bench.paired.serving.clients import Client, client_of, library
from mlx_spec.bench.paired.serving.peer import PEER_MODEL, peer_server
from mlx_spec.bench.paired.serving.plan import BEFORE, OURS, PEER_LIMIT, THEIRS, ServePlan
from mlx_spec.bench.paired.serving.questions import FIRST_NUMBER, LAST_FIRST_NUMBER
from mlx_spec.bench.paired.serving.report import ServeReport
from mlx_spec.bench.paired.serving.rounds import Servers, measure_serving
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.named import folder_of

_UNLIKELY: Final = -100.0
_ELSEWHERE: Final = "given by its address: its BLAS is its own"


@dataclass(frozen=True, slots=True)
class Sides:
    """Where the servers are: an address each, or None for one that the bench starts; of the other one what to ask it
    for, and its key. `options` are those of `serve` for ours, `before` the checkout of an earlier build."""

    ours: str | None = None
    theirs: str | None = None
    model: str | None = None
    key: str | None = None
    options: tuple[str, ...] = ()
    before: Path | None = None


def measure_served(
    plan: ServePlan, models: ModelChoice, sides: Sides, save: Callable[[ServeReport], None]
) -> ServeReport:
    """A new report. Raises LookaheadError."""
    if sides.before is not None:
        check_checkout(sides.before)
    report = ServeReport(machine_facts(), models.name, models.draft, plan)
    save(report)  # a file that cannot be written is told before anything is measured
    with StageProgress() as progress, ExitStack() as stack:
        target = folder_of(models.name, progress.tell)
        found = stack.enter_context(_servers(report, target, models, sides, progress))
        number = FIRST_NUMBER + secrets.randbelow(LAST_FIRST_NUMBER - FIRST_NUMBER)
        measure_serving(report, found, number=number, tell=progress.tell, save=save)
    return report


@contextmanager
def _servers(
    report: ServeReport, target: ModelFolder, models: ModelChoice, sides: Sides, progress: StageProgress
) -> Iterator[Servers]:
    """All that take part. The other one first: an address where nobody is shall be told before ours is loaded."""
    told = report.conditions
    told["target"] = str(target.path)
    told["asked with"] = library()
    clients: dict[str, Client] = {}
    pids: list[int] = []
    with ExitStack() as stack:
        if sides.theirs is not None:
            theirs = stack.enter_context(ChatClient(sides.theirs, model=sides.model, key=sides.key))
            told[THEIRS] = {"address": theirs.url, "model": theirs.model, "process": _ELSEWHERE}
        else:
            url, pid = stack.enter_context(peer_server(target.path, progress.tell))
            theirs = stack.enter_context(ChatClient(url, model=sides.model or PEER_MODEL))
            told[THEIRS] = {"process": f"mlx_lm.server, mlx-lm {report.machine['mlx_lm']}", "model": theirs.model}
            pids.append(pid)
        if sides.ours is not None:
            ours = stack.enter_context(ChatClient(sides.ours))
            told[OURS] = {"address": ours.url, "model": ours.model, "process": _ELSEWHERE}
        else:
            # As many as are asked at once are answered at once, unless something else is asked for.
            options = ("--max-batch", str(max(report.plan.at_once, default=PEER_LIMIT)), *sides.options)
            url, pid = stack.enter_context(own_server(models, progress.tell, options=options))
            ours = stack.enter_context(ChatClient(url))
            told[OURS] = {"process": " ".join(("mlx-spec serve", *models.arguments(), *options))}
            pids.append(pid)
        clients[OURS] = stack.enter_context(closing(client_of(ours)))
        if sides.before is not None:
            url, pid = stack.enter_context(own_server(models, progress.tell, checkout=sides.before))
            clients[BEFORE] = stack.enter_context(closing(client_of(stack.enter_context(ChatClient(url)))))
            told[BEFORE] = {"checkout": str(sides.before), "commit": _commit(sides.before)}
            pids.append(pid)
        clients[THEIRS] = stack.enter_context(closing(client_of(theirs, sides.key)))
        told["calibrated"] = kept_calibrations(data_folder())[:1]
        yield Servers(
            clients,
            more=_past_end(target) if report.plan.past_end else {},
            count=lambda text: int(ours.post("/v1/tokenize", {"text": text})["num_tokens"]),
            settle=partial(_settled, tuple(pids)),
            pids=tuple(pids),
        )


def _past_end(target: ModelFolder) -> dict[str, Any]:
    """No server knows `ignore_eos` but all know a bias."""
    return {"logit_bias": {str(one): _UNLIKELY for one in sorted(target.tokenizer.eos_token_ids)}}


def _settled(pids: tuple[int, ...]) -> bool:
    return all([wait_until_idle(pid) for pid in pids])  # noqa: C419  each is waited for


def _commit(checkout: Path) -> str:
    """As git tells it; a copy without its history has none."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
