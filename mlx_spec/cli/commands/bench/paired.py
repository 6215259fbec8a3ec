"""From options to a filled report: loads what a mode needs, and hands it to the module that measures."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.paired.beside import measure_beside
from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.chats import FIRST_COPY
from mlx_spec.bench.paired.cold import measure_cold
from mlx_spec.bench.paired.disturbed import measure_disturbed
from mlx_spec.bench.paired.models import ModelChoice, kept_calibrations
from mlx_spec.bench.paired.modes import ModeName
from mlx_spec.bench.paired.own_server import own_server, wait_until_idle
from mlx_spec.bench.paired.predicted import measure_predicted
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.turns import measure_turns, measure_turns_beside
from mlx_spec.bench.plan import Scope
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.machine.resources import data_folder

_COPIES: Final = 800_000


@dataclass(frozen=True, slots=True)
class Peer:
    """The other server: its address, the model to ask for, its key. None is what the server says, and no key."""

    url: str
    model: str | None = None
    key: str | None = None


def measure_paired(
    mode: ModeName,
    scope: Scope,
    models: ModelChoice,
    *,
    peer: Peer | None = None,
    first_start: bool = False,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> PairedReport:
    """A new report of a mode. `first_start` is wanted by `cold`, `peer` by `beside`; with one, `turns` are those of our
    server and of it. Raises LookaheadError."""
    if mode == "turns" and peer is not None:
        mode = "turns-beside"
    report = PairedReport(mode, machine_facts(), models.name, models.draft, scope)
    save(report)  # a file that cannot be written is told before anything is measured
    with StageProgress(lines=True) as progress:
        if mode == "cold":
            measure_cold(report, models, first_start=first_start, tell=progress.tell, save=save)
        elif mode == "disturbed":
            pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
            measure_disturbed(report, pair, tell=progress.tell, save=save)
        elif mode == "turns":
            pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
            measure_turns(report, pair, tell=progress.tell, save=save)
        elif mode == "predicted":
            pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
            measure_predicted(report, pair, tell=progress.tell, save=save)
        else:
            assert peer is not None, "beside whom?"
            _measure_beside(report, models, peer, progress, save)
    return report


def _measure_beside(
    report: PairedReport,
    models: ModelChoice,
    peer: Peer,
    progress: StageProgress,
    save: Callable[[PairedReport], None],
) -> None:
    with ChatClient(peer.url, model=peer.model, key=peer.key) as theirs:
        report.conditions["beside"] = {"address": theirs.url, "model": theirs.model}  # told before ours is loaded
        with own_server(models, progress.tell) as (url, pid), ChatClient(url) as ours:
            report.conditions["calibrated"] = kept_calibrations(data_folder())[:1]
            measure = measure_beside
            if report.mode == "turns-beside":  # whatever either was asked before, nobody knows a new copy
                measure = partial(measure_turns_beside, copy=FIRST_COPY + secrets.randbelow(_COPIES))
            measure(
                report,
                ours,
                theirs,
                count=lambda text: int(ours.post("/v1/tokenize", {"text": text})["num_tokens"]),
                settle=partial(wait_until_idle, pid),
                pids=(pid,),
                tell=progress.tell,
                save=save,
            )
