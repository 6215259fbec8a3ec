"""What fresh processes cost and gain: `mlx-spec generate PROMPT --json`, with drafts and without, in turns."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlx_spec.bench.paired.crowd import CrowdWatch
from mlx_spec.bench.paired.models import ModelChoice, kept_calibrations
from mlx_spec.bench.paired.modes import AUTO, NONE
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.plan import SEED, Scope
from mlx_spec.bench.prompts import BenchPrompt, prompts_of
from mlx_spec.bench.runs import Block
from mlx_spec.errors import LookaheadError
from mlx_spec.machine.blas import DONE, LIBRARY, SWITCH
from mlx_spec.machine.program import own_command
from mlx_spec.machine.resources import HOME_VARIABLE, data_folder

_PREPARING: Final = "Say hello."
_PREPARING_TOKENS: Final = 4
_MODELS: Final = "models"

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and how long it took from its start to its end."""

    returncode: int
    stdout: str
    stderr: str
    wall_seconds: float


Start = Callable[[list[str], dict[str, str]], Ended]
"""Runs `mlx-spec` with arguments and an environment, and waits for its end."""


def run_process(arguments: list[str], environment: dict[str, str]) -> Ended:
    """A `Start`: a process of its own, which nobody asks anything."""
    began = time.perf_counter()
    done = subprocess.run(
        own_command(*arguments),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.perf_counter() - began)


def measure_cold(
    report: PairedReport,
    models: ModelChoice,
    *,
    first_start: bool = False,
    start: Start = run_process,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> None:
    """Fill a report of mode `cold`. `save` gets it after each pair of processes.

    All processes share one data folder, whose calibration one more process takes beforehand: a person's second start.
    With `first_start` each has a folder of its own, and measures what it needs itself. The models are always there.

    Raises LookaheadError with the sentence of a process that fails.
    """
    blocks = list(_blocks(report.scope))
    report.conditions["calibration"] = "by each process itself" if first_start else "taken once, before the first"
    with _homes(shared=not first_start) as new_home:
        home = new_home()
        tell("a process beforehand", 0.0)
        _answer(start, models, home, _PREPARING, AUTO, _settings(0.0, SEED, _PREPARING_TOKENS))
        if not first_start:
            report.conditions["calibrated"] = kept_calibrations(home)
        for at, (block, prompt) in enumerate(blocks):
            for drafter in (AUTO, NONE) if at % 2 == 0 else (NONE, AUTO):
                home = new_home()
                settings = _settings(block[0], SEED + block[3], report.scope.answer_tokens)
                watch = CrowdWatch()
                answer, ended = _answer(start, models, home, prompt.text, drafter, settings)
                crowd = watch.read()
                report.runs.append(_run(drafter, block, answer, ended, crowd.others, crowd.stolen))
                if first_start and drafter == AUTO:
                    report.conditions.setdefault("calibrated", []).extend(kept_calibrations(home))
            report.complete = at + 1 == len(blocks)
            tell("measuring", (at + 1) / len(blocks))
            save(report)


def _blocks(scope: Scope) -> Iterator[tuple[Block, BenchPrompt]]:
    for repeat in range(scope.repeats):
        for temperature in scope.temperatures:
            for kind in scope.kinds:
                for prompt in prompts_of(kind, scope.prompts):
                    yield (temperature, kind, prompt.index, repeat), prompt


def _settings(temperature: float, seed: int, max_tokens: int) -> list[str]:
    return ["--temperature", f"{temperature:g}", "--seed", str(seed), "--max-tokens", str(max_tokens)]


def _answer(
    start: Start, models: ModelChoice, home: Path, text: str, drafter: str, settings: list[str]
) -> tuple[dict[str, Any], Ended]:
    arguments = ["generate", "--json", "--drafter", drafter, *settings, *models.arguments(), "--", text]
    ended = start(arguments, _as_a_person_starts_it(home))
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        sentence = lines[-1].removeprefix("mlx-spec: ")
        raise LookaheadError(f"A process of the measurement failed: {sentence}", details=ended.stderr)
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer, ended


def _run(side: str, block: Block, answer: dict[str, Any], ended: Ended, others: float, stolen: float) -> PairedRun:
    stats = answer["stats"]
    tokens = int(stats["total_tokens_generated"])
    return PairedRun(
        side,
        *block,
        tokens=tokens,
        timed_tokens=tokens,
        seconds=stats["total_time_ms"] / 1e3,
        rounds=int(stats["rounds"]),
        wall_seconds=ended.wall_seconds,
        token_ids=tuple(answer["token_ids"]),
        others=others,
        stolen=stolen,
    )


def _as_a_person_starts_it(home: Path) -> dict[str, str]:
    """The environment without what this process put in front of itself, so that the new one finds OpenBLAS anew: that
    too is time which a person waits."""
    environment = dict(os.environ) | {HOME_VARIABLE: str(home)}
    if environment.get(SWITCH) == DONE:
        del environment[SWITCH]
        preloaded = environment.pop("LD_PRELOAD", "").replace(":", " ").split()
        if kept := [name for name in preloaded if not name.endswith(LIBRARY)]:
            environment["LD_PRELOAD"] = ":".join(kept)
    return environment


@contextmanager
def _homes(*, shared: bool) -> Iterator[Callable[[], Path]]:
    """Makes data folders with the person's models and nothing else; one for all where `shared`."""
    models = data_folder() / _MODELS
    models.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lookahead-cold-") as scratch:
        made: list[Path] = []

        def new_home() -> Path:
            if not made or not shared:
                home = Path(scratch) / str(len(made))
                home.mkdir()
                (home / _MODELS).symlink_to(models.resolve(), target_is_directory=True)
                made.append(home)
            return made[-1]

        yield new_home
