"""What `mlx-spec hosts` shows on a terminal of 80 columns."""

import pytest

from mlx_spec.cli.commands.hosts.tables import print_machines, print_report
from mlx_spec.hosts.finding.facts import MachineFacts
from mlx_spec.hosts.finding.measuring import WayMeasured
from mlx_spec.hosts.finding.report import GroupReport, HostReport, LinkReport

CHIP = "Intel(R) Xeon(R) Processor @ 2.90GHz"
FOUND = {"addresses": ["fd00::a1b2:c3d4:e5f6:789"], "port": 8764, "chip": CHIP, "total_bytes": 512 << 30}
PRINT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_machines_keep_their_address_and_their_fingerprint_whole(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"name": "attic", "role": "follower", "address": "10.0.0.9", "fingerprint": "f" * 16}
    print_machines({"found": [FOUND | {"name": "studio", "fingerprint": PRINT}], "known": [known]})
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "studio  offers itself",
        f"{CHIP} · 549.8 GB",
        f"fd00::a1b2:c3d4:e5f6:789:8764 · {PRINT}",
        "attic   joined: this machine may use it; does not offer itself now",
        f"10.0.0.9 · {'f' * 16}",
    ]


def test_a_report_is_read_line_by_line_and_ways_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    facts = MachineFacts(CHIP, "Linux", 512 << 30, 64 << 30, "3.11.7", "0.32.4", "0.32.2", "0.1.0")
    hosts = (
        *(HostReport(rank, "vm", "10.0.0.1", facts) for rank in range(2)),
        HostReport(2, "b", "", None, "b is off."),
    )
    print_report(GroupReport(hosts, (LinkReport(0, 1, WayMeasured(0.5, 1e9)),)), [])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [
        f"0  vm  {CHIP} · 68.7 GB free of 549.8 GB",
        "MLX 0.32.4 · mlx-lm 0.32.2 · Lookahead 0.1.0 · Python 3.11.7",
    ]
    assert lines[4] == "2  b   did not answer"
    assert "vm (rank 0)  vm (rank 1)  0.50 ms     1.0 GB/s" in lines
    assert lines[-1] == "b is off."
