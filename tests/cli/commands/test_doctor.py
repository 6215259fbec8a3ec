"""The doctor says what and why, and a thing that is broken hides nothing else."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mlx_spec.cli.commands.doctor import report as doctor
from mlx_spec.cli.commands.doctor.command import show
from mlx_spec.decoding.cache.rows.widths import PartWidth, RowWidths
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.machine import blas
from mlx_spec.models import memory
from tests.cli.calling import mlx_spec

SECTIONS = {"versions", "device", "blas", "kernels", "starter_target", "starter_draft", "calibration", "data_folder"}
SECTIONS |= {"resources", "keys_and_values", "row_widths"}


def test_every_section_says_what_and_why_and_is_json() -> None:
    found = doctor.report()
    assert found.keys() == SECTIONS | {"ok"}
    assert json.loads(json.dumps(found)) == found
    for name in SECTIONS:
        section = found[name]
        assert section["status"] in ("ok", "warning", "error")
        assert section["what"]
        assert section["why"].endswith(".")


def test_how_wide_passes_may_be_is_a_table_of_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (PartWidth("product 64 to 32, float32", 3), PartWidth("attention of 4 heads", 16))
    stored = [("mine", RowWidths(3, trees=False, parts=parts, tried=16))]
    monkeypatch.setattr("mlx_spec.decoding.cache.rows.known.stored_widths", lambda: stored)
    monkeypatch.setattr(memory, "rows_are_independent", lambda: False)
    found = doctor.report()
    assert found["row_widths"]["what"] == "mine: 3 of 16 tried"
    assert json.loads(json.dumps(found))["row_widths"]["models"][0]["width"] == 3
    console = Console(file=(out := io.StringIO()), width=120)
    show(found, console)
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "product 64 to 32, float32 3" in lines
    assert "attention of 4 heads 16, as many as were tried" in lines
    assert "the whole pass 3" in lines
    assert "trees in it no" in lines
    assert "Limited to 3 rows by product 64 to 32, float32." in lines


def test_a_fresh_machine_has_the_draft_but_not_yet_the_target(lookahead_home: Path) -> None:
    found = doctor.report()
    assert found["starter_draft"]["found"]
    assert found["starter_draft"]["bytes"] > 1_000_000
    assert found["starter_target"]["imported"] is False
    assert found["starter_target"]["folder"].startswith(str(lookahead_home))
    assert found["data_folder"]["path"] == str(lookahead_home)
    assert found["data_folder"]["writable"]


def test_looking_changes_nothing(lookahead_home: Path) -> None:
    doctor.report()
    assert list(lookahead_home.iterdir()) == []


def test_a_data_folder_that_cannot_be_written_is_an_error_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path / "file" / "home"))
    found = doctor.report()
    assert found["ok"] is False
    assert found["data_folder"]["status"] == "error"
    assert "LOOKAHEAD_HOME" in found["data_folder"]["why"]
    assert found["versions"]["mlx"]
    assert found["device"]["memory_bytes"] > 0


def test_one_reason_is_said_once_and_the_exit_code_tells_of_it(
    lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = doctor.report()
    found |= {name: found[name] | {"status": "error", "why": "It is full."} for name in ("data_folder", "row_widths")}
    del found["row_widths"]["models"]
    found["ok"] = False
    told = io.StringIO()
    show(found, Console(file=told, width=200))
    assert told.getvalue().count("It is full.") == told.getvalue().count("For the same reason.") == 1
    monkeypatch.setattr(doctor, "report", lambda: found)
    assert mlx_spec("doctor", "--json").returncode == 1
    monkeypatch.setattr(doctor, "report", lambda: found | {"ok": True})
    assert mlx_spec("doctor", "--json").returncode == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.PACKAGES, "pyside6", "no-such-package")
    versions = doctor.report()["versions"]
    assert versions["pyside6"] is None
    assert versions["status"] == "warning"
    assert "no-such-package" in versions["why"]


def test_a_slow_blas_is_a_warning_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "serving_blas", lambda: "the MLX wheel's own")
    monkeypatch.setattr(blas, "find_openblas", lambda: None)
    section = doctor.report()["blas"]
    assert section["status"] == "warning"
    assert "libopenblas0-pthread" in section["why"]


def test_the_calibration_says_whether_a_draft_can_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = Calibration((10.0, *[12.0] * 8), draft_step_ms=1.0)
    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.stored", lambda *_: flat)
    section = doctor.report()["calibration"]
    assert section["status"] == "ok"
    assert section["what"] == "plain step 10.0 ms; tokens at once: 2 1.20x, 5 1.20x, 9 1.20x; draft step 0.10x"
    # One token drafted: 1 + α against 1.3; two: 1 + α + α² against 1.4.
    assert section["pays_above"] == pytest.approx(0.31)
    assert "31%" in section["why"]


def test_passes_that_cost_as_much_a_token_cannot_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    dear = Calibration(tuple(10.0 * width for width in range(1, 10)), draft_step_ms=1.0)
    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.stored", lambda *_: dear)
    section = doctor.report()["calibration"]
    assert (section["status"], section["pays_above"]) == ("warning", None)
    assert "cannot pay here" in section["why"]


def test_a_calibration_from_a_busy_machine_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Calibration((63.0, *[134.0] * 8), draft_step_ms=5.0, disturbance=0.4)
    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.stored", lambda *_: busy)
    section = doctor.report()["calibration"]
    assert (section["status"], section["disturbance"]) == ("warning", 0.4)
    assert "40% of the machine" in section["why"]


def test_what_a_width_costs_is_what_the_cheapest_wider_pass_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Calibration((10.0, *[19.0] * 14, 15.0), draft_step_ms=0.5)
    monkeypatch.setattr("mlx_spec.decoding.measuring.calibration.stored", lambda *_: steps)
    assert doctor.report()["calibration"]["verify_ratio"] == {"2": 1.5, "5": 1.5, "9": 1.5}


def test_the_kernels_say_which_path_runs_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SPEC_KERNELS", "off")
    section = doctor.report()["kernels"]
    assert set(section["paths"]) == {
        *("row_softmax", "verify", "tree_verify", "compact", "few_rows_matmul", "paged_attention", "row_attention")
    }
    assert set(section["paths"].values()) == {"mlx_ops"}
    assert "MLX_SPEC_KERNELS=off is set" in section["why"]


def test_without_a_measurement_it_says_what_makes_one(lookahead_home: Path) -> None:
    section = doctor.report()["calibration"]
    assert (section["status"], section["measured"]) == ("ok", False)
    assert "first answer" in section["why"]


def test_the_table_shows_every_finding_and_takes_brackets_in_paths_literally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path / "[red]home"))
    terminal = io.StringIO()
    found = doctor.report()
    show(found, Console(file=terminal, width=4000))
    shown = terminal.getvalue()
    for name in SECTIONS:
        assert found[name]["what"] in shown
        assert found[name]["why"] in shown


@pytest.mark.mac
@pytest.mark.skipif(sys.platform != "darwin", reason="needs Apple Silicon")
def test_on_a_mac_metal_computes() -> None:
    # In a process of its own: the tests may have chosen the CPU for this one.
    command = [sys.executable, "-m", "mlx_spec.cli", "doctor", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["device"]["metal"]
    assert found["device"]["working_set_bytes"] > 0
    assert found["blas"]["serving"] == "accelerate"
