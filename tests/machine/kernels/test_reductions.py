"""No sum of a kernel's runs over other terms, or in another order, for another number of rows."""

import re
from collections import defaultdict
from dataclasses import replace

import pytest

from mlx_spec.machine.kernels import row_softmax, verify
from mlx_spec.machine.kernels.metal import FOLDER
from tests.machine.kernels.emulator.launches import emulated
from tests.machine.kernels.launched import EVERY
from tests.machine.kernels.reductions import Launch, Recorder, complaints, varying

GAMMAS = (1, 2, 5, 8, 15)
ALONE = (0, *GAMMAS)
# Sums that are meant to go over rows, and why.
MEANT = {
    "chain_decide: weight": "a draft's weight under `block` is a product over the drafts before it, in their order"
}


def launched(what: str, gammas: tuple[int, ...] = GAMMAS) -> dict[str, list[Launch]]:
    """The launches over several numbers of rows, by kernel."""
    recorder = Recorder()
    with emulated(recorder):
        for gamma in gammas:
            EVERY[what](gamma)
    found: dict[str, list[Launch]] = defaultdict(list)
    for launch in recorder.launches:
        found[launch.kernel.name].append(launch)
    return found


def found_in(launches: dict[str, list[Launch]]) -> set[str]:
    return {one for of_kernel in launches.values() for one in complaints(of_kernel[-1], varying(of_kernel))}


@pytest.mark.parametrize("what", EVERY)
def test_no_sum_depends_on_the_number_of_rows(what: str) -> None:
    launches = launched(what)
    assert all(varying(of_kernel) for of_kernel in launches.values()), "some number tells how many rows there are"
    assert found_in(launches) - set(MEANT) == set()


def test_every_kernel_is_looked_at() -> None:
    kernels = {launch.kernel for what in EVERY for of_kernel in launched(what, (2,)).values() for launch in of_kernel}
    headers = {header for kernel in kernels for header in kernel.headers}
    segmented = {"chain_finish"}  # of large vocabularies only: see below
    assert {kernel.name for kernel in kernels} | segmented == {path.stem for path in FOLDER.iterdir()} - headers


def test_where_a_vocabulary_is_split_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_ONE_SEGMENT", 100)
    monkeypatch.setattr(verify, "_SEGMENT", 64)
    monkeypatch.setattr(row_softmax, "_PARTIAL_TOKENS", 64)
    launches = launched("block", GAMMAS[1:])  # one draft alone has no sums in between
    assert "chain_finish" in launches
    assert found_in(launches) == set(MEANT), "what is meant is there"
    assert found_in(launched("coupled")) == set()


def test_splits_that_depend_on_the_rows_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they did: a row's normaliser had other bits beside four others."""
    monkeypatch.setattr(row_softmax, "_PARTIAL_TOKENS", 16)
    rows_of = row_softmax.partials

    def partials(rows: row_softmax.WarpedRows, *args: object, **kwargs: bool) -> row_softmax.Partials:
        monkeypatch.setattr(row_softmax, "splits_for", lambda vocab: max(1, 16 // rows.rows))
        return rows_of(rows, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(verify, "partials", partials)
    found = found_in(launched("coupled"))
    assert {"row_partials: total", "folded: all", "block_sum: simd_sum"} <= found


@pytest.mark.parametrize(
    ("what", "kernel", "old", "new", "expected"),
    [
        ("matmul", "few_rows_matmul", r"(word < words|unit < inputs / 8)", r"\1 / ROWS", "few_rows_matmul: sums"),
        ("paged", "paged_partials", r"end = min\(position \+ 1,", "end = min(int(members),", "paged_partials: sum"),
        ("paged", "paged_finish", "const uint own =", "const uint own = simdgroups +", "paged_finish: sum"),
        ("softmax", "row_write", r"parts \* 2, parts,", "parts * 2, uint(logits_shape[0]),", "folded: all"),
    ],
    ids=["inputs", "keys", "splits", "a call"],
)
def test_a_planted_dependence_is_found(what: str, kernel: str, old: str, new: str, expected: str) -> None:
    launches = launched(what, ALONE)[kernel]
    last, text = launches[-1], launches[-1].traced.text
    text, changed = re.subn(old, new, text)
    assert changed
    broken = replace(last, traced=replace(last.traced, text=text))
    assert complaints(last, varying(launches)) == []
    assert expected in complaints(broken, varying(launches))
