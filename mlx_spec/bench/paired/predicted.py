"""Predicted outputs: a file is written again with three changes, and what was predicted is right but for these, all
wrong, or nothing. One warm process, in slices.

A small model makes other changes than it was asked for. So that the measure does not hang on its wit, the right
prediction is its own answer with three lines changed, and the wrong one is another file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mlx_spec.bench.contenders import Ours
from mlx_spec.bench.paired.crowd import CrowdWatch
from mlx_spec.bench.paired.models import kept_calibrations
from mlx_spec.bench.paired.modes import PLAIN, RIGHT, UNPREDICTED, WRONG
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.plan import SEED, Way
from mlx_spec.bench.session import blocks_of, encoded_prompts, in_turns, warm_up
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair

CHANGES: Final = 3

Tell = Callable[[str, float], None]


def measure_predicted(
    report: PairedReport,
    pair: ModelPair,
    *,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> None:
    """Fill a report of mode `predicted`. `save` gets it after each prompt.

    Which side is first in a slice alternates from prompt to prompt. What a side learns it keeps.

    Raises PromptError where no prompt fits the context.
    """
    ways = {PLAIN: Ours(pair, Way("none"))}
    ways |= {name: Ours(pair, Way("auto"), tell=tell) for name in (UNPREDICTED, RIGHT, WRONG)}
    encoded = encoded_prompts(pair, report.scope, report.notes)
    warm_up(ways, encoded, report.scope)
    report.conditions["calibrated"] = kept_calibrations(data_folder(), pair.target_name)[:1]
    report.conditions["lines changed in a right prediction"] = CHANGES
    blocks = list(blocks_of(report.scope, encoded))
    for at, (block, one) in enumerate(blocks):
        temperature, _, number, repeat = block
        said = ways[UNPREDICTED].answer(one.ids, temperature, SEED + repeat, report.scope.answer_tokens).token_ids
        others = [other.prompt.text for other in encoded if other.prompt.index != number] or ["\n".join(map(str, said))]
        ways[RIGHT].predicted_ids = pair.encode_part(with_changes(pair.decode(said)))
        ways[WRONG].predicted_ids = pair.encode_part(others[number % len(others)])
        watch = CrowdWatch()
        runs = in_turns(_turned(ways, at), block, one.ids, report.scope)
        crowd = watch.read()
        report.runs += [
            PairedRun(
                run.contender,
                *block,
                tokens=run.tokens,
                timed_tokens=run.tokens,
                seconds=run.seconds,
                rounds=run.rounds,
                token_ids=run.token_ids,
                others=crowd.others,
                stolen=crowd.stolen,
            )
            for run in runs
        ]
        report.complete = at + 1 == len(blocks)
        tell("measuring", (at + 1) / len(blocks))
        save(report)


def with_changes(text: str, count: int = CHANGES) -> str:
    """A text with another word in `count` of its lines, which lie evenly apart."""
    lines = text.split("\n")
    written = [at for at, line in enumerate(lines) if line.strip()]
    for change in range(min(count, len(written))):
        at = written[(change + 1) * len(written) // (count + 1)]
        words = lines[at].split(" ")
        place = max(range(len(words)), key=lambda word: len(words[word]))
        lines[at] = " ".join([*words[:place], f"another{change + 1}", *words[place + 1 :]])
    return "\n".join(lines)


def _turned(ways: Mapping[str, Ours], count: int) -> dict[str, Ours]:
    names: Sequence[str] = list(ways)
    count %= len(names)
    return {name: ways[name] for name in (*names[count:], *names[:count])}
