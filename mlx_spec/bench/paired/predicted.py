"""Predicted outputs: a file of 60 lines is written again with three changes, and the client has sent along the file, as
editors do, or another file, which is all wrong, or nothing. One warm process, in slices."""

from collections.abc import Callable
from typing import Final

from mlx_spec.bench.contenders import Ours
from mlx_spec.bench.paired.crowd import CrowdWatch
from mlx_spec.bench.paired.models import kept_calibrations
from mlx_spec.bench.paired.modes import PLAIN, RIGHT, UNPREDICTED, WRONG
from mlx_spec.bench.paired.recorded import RecordedDecoder
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import in_process
from mlx_spec.bench.plan import Way
from mlx_spec.bench.prompts import Edit, edits
from mlx_spec.bench.session import blocks_of, encoded_prompts, in_turns, warm_up
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair

_SIDES: Final = (PLAIN, UNPREDICTED, RIGHT, WRONG)

Tell = Callable[[str, float], None]


def measure_predicted(
    report: PairedReport,
    pair: ModelPair,
    *,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> None:
    """Fill a report of mode `predicted`. `save` gets it after each prompt.

    Which side is first in a slice alternates from prompt to prompt. What a side learns it keeps. The target says the
    changed file: see `recorded`.

    Raises PromptError where no prompt fits the context.
    """
    ways = {
        side: Ours(pair, Way("none" if side == PLAIN else "auto"), tell=tell, kind=RecordedDecoder) for side in _SIDES
    }
    encoded = encoded_prompts(pair, report.scope, report.notes)
    warm_up(ways, encoded, report.scope)
    report.conditions["calibrated"] = kept_calibrations(data_folder(), pair.target_name)[:1]
    report.conditions["answers"] = "recorded: the file with three changes"
    blocks, known = list(blocks_of(report.scope, encoded)), edits()
    for at, (block, one) in enumerate(blocks):
        edit, other = known[one.prompt.index], known[one.prompt.index - 1]
        names = [*_SIDES[at % len(_SIDES) :], *_SIDES[: at % len(_SIDES)]]
        turn = {name: _asked(ways[name], name, pair, edit, other) for name in names}
        watch = CrowdWatch()
        runs, crowd = in_turns(turn, block, one.ids, report.scope), watch.read()
        report.runs += [in_process(run, crowd) for run in runs]
        report.complete = at + 1 == len(blocks)
        tell("measuring", (at + 1) / len(blocks))
        save(report)


def _asked(way: Ours, side: str, pair: ModelPair, edit: Edit, other: Edit) -> Ours:
    """A side that is to say the changed file, with what it is told beforehand."""
    decoder = way.decoder
    assert isinstance(decoder, RecordedDecoder)
    decoder.said = pair.encode_part(edit.changed)
    predicted = {RIGHT: edit.file, WRONG: other.file}.get(side)
    way.predicted_ids = pair.encode_part(predicted) if predicted is not None else ()
    return way
