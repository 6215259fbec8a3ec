"""The contract, published: an answer's ids are those that it has alone, whatever else is answered.

    LOOKAHEAD_BLAS=off python mlx_spec/machine/blas.py -m tests.batching.invariance --part 1/1

For each family, kind of numbers and temperature a crowd of requests is answered that join and leave, are cancelled,
step aside (both ways) and come back, begin alike and are found begun, draft by any drafter, at several lengths, as
trees too, with several answers to one prompt. Each must have, id for id, what plain decoding says to it when nobody
else is there.

All are asked `strict`: with MLX's own BLAS products and ordinary attention have a loop for each row, and where a model
does otherwise with one row (latent attention, scanned states, full windows) its passes are as narrow as was measured.
In float32 and 4 bit those are asked `fast` too, in passes of any width, as what differs there is rounding in the
seventh digit. In bfloat16 it is in the third, so that fast answers of such models may part at a near-tie.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final, Literal

import mlx.core as mx
import mlx.nn as nn

from mlx_spec import SpeculativeConfig
from mlx_spec.batching import BatchSettings
from mlx_spec.batching.settings import PREEMPTIONS, PreemptionName
from mlx_spec.config import Exactness
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.cache.rows.known import row_widths
from mlx_spec.events import GenerationFinished, Preempted, Waiting
from mlx_spec.machine.kernels.products.half_experts import mend_experts
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import rows_are_independent
from tests.batching.asked import BLOCK, Asked, Run, batch_of, run, some
from tests.tiny import pair_of
from tests.unfused import fusing
from tests.zoo import ARCHITECTURES, VOCAB, mixed, zoo_model

Numbers = Literal["float32", "bfloat16", "4bit"]
NUMBERS: Final[tuple[Numbers, ...]] = ("float32", "bfloat16", "4bit")
TEMPERATURES: Final = (0.0, 0.7, 1.2)
EXACTNESS: Final[tuple[Exactness, ...]] = ("strict", "fast")
TREES: Final = SpeculativeConfig(acceptance_threshold=0.0, tree_speculation=True)
SETTINGS: Final = BatchSettings(max_batch=4, max_waiting=64, spare_blocks=0, policy="shortest")
BLOCKS: Final = 13
COUNT: Final = 7
LATE: Final = 60
LEAVING: Final = {1: 9, 4: 0}
"""Who is cancelled, and how many steps behind its arrival."""


@dataclass(frozen=True)
class Case:
    """One crowd."""

    name: str
    numbers: Numbers
    temperature: float
    way: PreemptionName
    exactness: Exactness = "strict"


def cases(
    names: Sequence[str] = ARCHITECTURES,
    numbers: Sequence[Numbers] = NUMBERS,
    temperatures: Sequence[float] = TEMPERATURES,
) -> Iterator[Case]:
    """All of them, a family after the other."""
    for name in names:
        for kind in numbers:
            for exactness in EXACTNESS if kind != "bfloat16" else ("strict",):
                for temperature in temperatures:
                    for way in PREEMPTIONS:
                        yield Case(name, kind, temperature, way, exactness)


@cache
def is_limited(name: str, numbers: Numbers) -> bool:
    """Whether a model's strict passes may not have any number of rows; else its fast ones are the same."""
    pair = pair_for(name, numbers)
    return row_widths(pair.target, pair.target_name).width is not None


@lru_cache(maxsize=2)
def pair_for(name: str, numbers: Numbers) -> ModelPair:
    """A target of that family, and a draft that agrees with it now and then."""
    target = zoo_model(name, wide=numbers == "4bit")
    draft = mixed(target, zoo_model(name, seed=9, wide=numbers == "4bit"), 0.97)
    for model in (target, draft):
        if numbers == "4bit":
            nn.quantize(model, group_size=32, bits=4, class_predicate=_takes_groups)
        elif numbers == "bfloat16":
            model.set_dtype(mx.bfloat16)
            mend_experts(model)  # as loading does
        mx.eval(model.parameters())
    # What is measured of a model is kept by its name and size.
    return replace(pair_of(target, draft, vocab=VOCAB), target_name=f"{name} in {numbers}")


def _takes_groups(path: str, module: Any) -> bool:
    # mlx-lm's FusedLinear (afm7) does not know the arguments that MLX quantises with.
    takes = hasattr(module, "to_quantized") and type(module).__name__ != "FusedLinear"
    return takes and module.weight.ndim == 2 and module.weight.shape[-1] % 32 == 0


def crowd(temperature: float) -> list[Asked]:
    """Seven prompts, some of which begin alike, and two answers more: to one of them at once, to one after the rush."""
    asked = [
        replace(one, params=replace(one.params, temperature=temperature))
        for one in some(COUNT, vocab=VOCAB, longest=40, tokens=(14, 30), spread=6)
    ]
    again = [replace(asked[at], params=replace(asked[at].params, seed=100 + at)) for at in (2, 6)]
    return [*asked, again[0], replace(again[1], joins=LATE)]


@dataclass(frozen=True)
class Found:
    """What came of a case: whose ids were others, and what the crowd went through."""

    different: tuple[str, ...]
    seen: Counter[str]


def found(case: Case) -> Found:
    """Answer a crowd, and each of it alone."""
    pair, asked = pair_for(case.name, case.numbers), crowd(case.temperature)
    config = replace(TREES, exactness=case.exactness)
    batch = batch_of(pair, BLOCKS, replace(SETTINGS, preemption=case.way), config=config)

    def meanwhile(step: int, done: Run) -> None:
        for number, behind in LEAVING.items():
            if step == asked[number].joins + behind:
                batch.cancel(str(number))

    done = run(batch, asked, meanwhile)
    different = []
    seen: Counter[str] = Counter(
        preempted=done.count(Preempted), waited=done.count(Waiting), shared=batch.metrics.snapshot().cached_tokens
    )
    for number, one in enumerate(asked):
        end, alone = done.end(str(number)), one.alone(pair).token_ids
        assert isinstance(end, GenerationFinished), end
        cut = end.finish_reason == "cancelled"
        seen["cancelled"] += cut
        seen["drafted"] += end.stats.draft_tokens
        seen["accepted"] += end.stats.accepted_tokens
        if end.token_ids != (alone[: len(end.token_ids)] if cut else alone):
            different.append(f"{number} ({one.drafter})")
    return Found(tuple(different), seen)


def main() -> None:
    """Go through the cases, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="*", default=ARCHITECTURES, help="all of the tests' by default")
    parser.add_argument("--numbers", nargs="*", default=NUMBERS, choices=NUMBERS)
    parser.add_argument("--part", default="1/1", help="every N-th case only, from the K-th: K/N")
    options = parser.parse_args()
    PREFILL_TOKENS[mx.default_device().type] = BLOCK
    part, parts = (int(number) for number in options.part.split("/"))
    with tempfile.TemporaryDirectory(prefix="lookahead-invariance-") as home:
        os.environ["LOOKAHEAD_HOME"] = home  # what is measured of these models is nobody else's
        sys.exit(gone_through(options.families, options.numbers, part, parts))


def gone_through(families: Sequence[str], numbers: Sequence[Numbers], part: int, parts: int) -> int:
    """Every so manieth case, told one by one; 1 where one fails, as an exit code."""
    chosen = list(cases(families, numbers))[part - 1 :: parts]
    total: Counter[str] = Counter()
    done = failed = 0
    for number, case in enumerate(chosen, 1):
        with fusing(False):
            if case.exactness == "fast" and not is_limited(case.name, case.numbers):
                continue
            one = found(case)
        done += 1
        total += one.seen
        failed += bool(one.different)
        words = f"other ids: {', '.join(one.different)}" if one.different else "each as alone"
        what = f"{case.name} {case.numbers} {case.exactness} {case.temperature} {case.way}"
        print(f"{number}/{len(chosen)} {what}: {words}", flush=True)  # noqa: T201
    exact = "bit for bit" if rows_are_independent() else "rows depend on each other here: ties may differ"
    print(f"{done - failed} of {done} crowds as alone ({exact}); in all {dict(total)}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    main()
