"""One warm process on a disturbed machine: chosen lengths against plain decoding, in slices, and the same in quiet."""

from collections.abc import Callable, Mapping
from typing import Final

from mlx_spec.bench.contenders import Contender, Ours
from mlx_spec.bench.paired.crowd import CrowdWatch
from mlx_spec.bench.paired.disturber import Disturber
from mlx_spec.bench.paired.models import kept_calibrations
from mlx_spec.bench.paired.modes import AUTO, PLAIN
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import in_process
from mlx_spec.bench.plan import Way
from mlx_spec.bench.session import blocks_of, encoded_prompts, in_turns, warm_up
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair

_DISTURBED: Final = ", disturbed"

Tell = Callable[[str, float], None]


def measure_disturbed(
    report: PairedReport,
    pair: ModelPair,
    *,
    contenders: Mapping[str, Contender] | None = None,
    disturber: Disturber | None = None,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> None:
    """Fill a report of mode `disturbed`. `save` gets it after each prompt.

    Each prompt is answered in quiet and disturbed, which is first alternates, and each time by both contenders in
    slices. What contenders learn they keep, as in one long session. `contenders` and `disturber` are for tests.

    Raises PromptError where no prompt fits the context.
    """
    ways = contenders or {AUTO: Ours(pair, Way("auto"), tell=tell), PLAIN: Ours(pair, Way("none"))}
    encoded = encoded_prompts(pair, report.scope, report.notes)
    warm_up(ways, encoded, report.scope)
    report.conditions["calibrated"] = kept_calibrations(data_folder(), pair.target_name)[:1]
    other = disturber or Disturber()
    blocks = list(blocks_of(report.scope, encoded))
    for at, (block, one) in enumerate(blocks):
        names = (AUTO, PLAIN) if at // 2 % 2 == 0 else (PLAIN, AUTO)
        turn = {name: ways[name] for name in names}
        for disturbed in (False, True) if at % 2 == 0 else (True, False):
            if disturbed:
                with other:
                    watch = CrowdWatch([other.pid])
                    runs, crowd = in_turns(turn, block, one.ids, report.scope), watch.read()
            else:
                watch = CrowdWatch()
                runs, crowd = in_turns(turn, block, one.ids, report.scope), watch.read()
            mark = _DISTURBED if disturbed else ""
            report.runs += [in_process(run, crowd, run.contender + mark) for run in runs]
        report.conditions["share of a core that the disturbing process had"] = round(other.share, 3)
        report.complete = at + 1 == len(blocks)
        tell("measuring", (at + 1) / len(blocks))
        save(report)
