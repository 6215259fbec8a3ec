"""`mlx-spec hosts check --model`: what each machine would hold, and whether it has room for that."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlx_spec.cli.commands.hosts.fits import fits_of
from mlx_spec.cli.main import app
from mlx_spec.errors import ModelNotFoundError
from mlx_spec.hosts.finding.facts import own_facts
from mlx_spec.hosts.finding.report import GroupReport, HostReport
from mlx_spec.models.named import folder_of
from tests.cli.calling import mlx_spec
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama

HERE = "127.0.0.1"


def report(*free_bytes: int | None) -> GroupReport:
    """Machines with so much memory free; None of one that did not answer."""
    facts = own_facts().to_dict()
    hosts = []
    for rank, free in enumerate(free_bytes):
        told = None if free is None else type(own_facts()).of(facts | {"available_bytes": free})
        hosts.append(HostReport(rank, f"mac{rank}", HERE, told))
    return GroupReport(tuple(hosts), ())


def test_each_way_has_its_sizes_and_fits_where_there_is_room(tmp_path: Path) -> None:
    folder = folder_of(save_folder(tiny_llama(1, layers=4), tmp_path / "target"))
    whole = (tmp_path / "target/model.safetensors").stat().st_size
    strict, fast, pipeline = fits_of(folder, report(10**9, 10**9))
    assert [one.problem for one in (strict, fast, pipeline)] == [None] * 3
    assert [len(one.bytes) for one in (strict, fast, pipeline)] == [2] * 3
    assert all(max(one.bytes) < 0.75 * whole for one in (strict, fast, pipeline))
    assert "tensor, strict (words as on one machine)" in strict.words
    assert strict.words.endswith(": fits")
    # Four layers: two sums each and a gathering, or four gatherings each, and the embedding's.
    assert (strict.waits, fast.waits, pipeline.waits) == (17, 17, 1)
    assert strict.bytes_per_row > fast.bytes_per_row > pipeline.bytes_per_row
    assert ", a pass waits once for a message, 128 bytes a row: fits" in pipeline.words
    short = fits_of(folder, report(10**9, 1000))
    assert short[0].problem == "does not fit, as mac1 has 1.0 kB free"
    assert fits_of(folder, report(10**9, None))[0].problem == "nobody knows, as mac1 did not answer"


def test_layers_go_by_what_is_free_which_ranks_of_one_machine_share(tmp_path: Path) -> None:
    folder = folder_of(save_folder(tiny_llama(1, layers=8), tmp_path / "target"))
    whole = (tmp_path / "target/model.safetensors").stat().st_size
    *_, pipeline = fits_of(folder, report(whole, whole // 3))
    assert pipeline.problem is None
    assert pipeline.layers is not None
    assert pipeline.layers[0] > pipeline.layers[1]
    assert f": {pipeline.layers[0]} + {pipeline.layers[1]} layers, " in pipeline.words
    apart = report(whole, whole)
    together = replace(apart, hosts=tuple(replace(one, name=HERE) for one in apart.hosts))
    assert fits_of(folder, apart)[0].problem is None
    assert "does not fit, as 127.0.0.1 has " in (fits_of(folder, together)[0].problem or "")


def test_a_way_that_is_none_says_why_in_the_familys_words(tmp_path: Path) -> None:
    folder = folder_of(save_folder(tiny_llama(1, layers=4), tmp_path / "target"))
    strict, *_, pipeline = fits_of(folder, report(10**9, 10**9, 10**9))
    assert strict.bytes == ()
    assert strict.problem is not None
    assert strict.words == f"tensor, strict: {strict.problem}"
    assert pipeline.problem is None  # four layers over three machines


def test_the_command_tells_it(tmp_path: Path) -> None:
    folder = save_folder(tiny_llama(1), tmp_path / "target")
    done = mlx_spec("hosts", "check", "--hosts", f"{HERE},{HERE}", "--model", folder, "--json")
    told = json.loads(done.stdout)
    assert [one["way"] for one in told["fits"]] == ["tensor", "tensor", "pipeline"]
    assert [one["problem"] for one in told["fits"]] == [None] * 3
    done = mlx_spec("hosts", "check", "--hosts", f"{HERE},{HERE}", "--model", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_a_model_that_is_not_here_is_not_fetched_to_be_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    asked = "mlx-community/Not-Here-4bit"
    done = CliRunner().invoke(app, ["hosts", "check", "--hosts", f"{HERE},{HERE}", "--model", asked])
    assert type(done.exception) is ModelNotFoundError
    assert f"`mlx-spec models pull {asked}` fetches it" in str(done.exception)
