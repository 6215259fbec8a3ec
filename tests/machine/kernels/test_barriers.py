"""Every barrier is needed, and a check sees when it is missing: each is removed in turn."""

import re
from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx
import pytest

from mlx_spec.machine.kernels import verify
from mlx_spec.machine.kernels.metal import FOLDER, MetalKernel
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import KernelError
from tests.machine.kernels.emulator.source import Traced
from tests.machine.kernels.launched import EVERY

BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
# Where a launch uses each file's barriers, in order: by which of EVERY, and in which kernel.
USED = {
    "reduce": [*(("coupled", "row_partials", i) for i in range(5)), ("block", "chain_decide", 5)],
    "row_finish": [("coupled", "row_finish", 0)],
    "row_thresholds": [("filtered", "row_thresholds", i) for i in range(2)],
    "chain_masses": [("block", "chain_masses", 0)],
    "chain_decide": [("block", "chain_decide", 0)],
    "tree_decide": [("tree", "tree_decide", 0)],
}
GAMMA = 2


def without(kernel_name: str, file: str, number: int) -> Callable[[MetalKernel, Traced], Traced]:
    """Takes the barrier `number` of a Metal file out of one kernel's text."""
    text = (FOLDER / f"{file}.metal").read_text(encoding="utf-8")
    places = [match.start() for match in re.finditer(re.escape(BARRIER), text)]
    at = places[number]
    broken = text[:at] + text[at + len(BARRIER) :]

    def rewrite(kernel: MetalKernel, traced: Traced) -> Traced:
        if kernel.name != kernel_name:
            return traced
        changed = traced.text.replace(text.strip(), broken.strip())
        assert changed != traced.text
        return replace(traced, text=changed)

    return rewrite


def test_the_list_names_every_barrier() -> None:
    counts = {path.stem: path.read_text(encoding="utf-8").count("threadgroup_barrier") for path in FOLDER.iterdir()}
    assert {file: count for file, count in counts.items() if count} == {file: len(uses) for file, uses in USED.items()}


@pytest.mark.parametrize(
    ("file", "number"), [(file, number) for file, uses in USED.items() for number in range(len(uses))], ids=str
)
def test_a_check_fails_without_this_barrier(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, file: str, number: int
) -> None:
    """ThreadSanitizer names the race; some show in the results of a shuffled order too."""
    monkeypatch.setattr(verify, "_ONE_SEGMENT", 1_000_000)
    what, kernel_name, at = USED[file][number]
    rewrite = without(kernel_name, file, at)
    run = EVERY[what]

    def broken(kernel: MetalKernel, traced: Traced) -> Traced:
        emulator.build = "thread" if kernel.name == kernel_name else "plain"
        return rewrite(kernel, traced)

    emulator.rewrite = broken
    with emulated(emulator), pytest.raises(KernelError, match=r"data race|divergent flow"):
        mx.eval(run(GAMMA))
