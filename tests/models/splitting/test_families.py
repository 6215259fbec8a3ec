"""The table in docs/several-macs.md says what is so."""

import re

import pytest

from tests.models.splitting.families import (
    BEGINS,
    ENDS,
    PAGE,
    families,
    has_pipeline,
    has_shard,
    legend,
    row,
    terms,
)


def lines() -> dict[str, str]:
    """The table as it is written, by family."""
    told = PAGE.read_text("utf-8").split(BEGINS)[1].split(ENDS)[0]
    return {
        found[1]: found[0] for found in re.finditer(r"^\| ([^ ]+) \|.*\|$", told, re.MULTILINE) if found[1] != "family"
    }


def test_every_family_of_this_mlx_lm_stands_in_it() -> None:
    told = lines()
    assert sorted(told) == sorted(families())
    for family, line in told.items():
        if family == "olmo":  # which ends the process without a package of its own
            continue
        _, tensor, layers = (cell.strip() for cell in line.strip("|").split("|"))
        assert (tensor != "–") == has_shard(family), family
        assert layers.startswith(("mlx-lm", "no: ")) or not has_pipeline(family), family
    assert sum("not tried" in line for line in told.values()) < len(told) // 5


def test_the_legend_has_what_the_table_says_and_nothing_else() -> None:
    rows = lines().values()
    head, _ = PAGE.read_text("utf-8").split(BEGINS)[1].split("\n\n| family |")
    assert head == legend(rows).rstrip("\n")
    assert "strict (alone)" not in terms(rows)
    assert terms(["| a | strict (alone), fast | no: it has five, and one is odd |"]) == ["strict (alone)", "fast", "no"]


@pytest.mark.parametrize("family", ["afm7", "llama", "mamba2", "minimax", "qwen3_moe"])
def test_a_row_is_what_comes_of_trying(family: str) -> None:
    assert lines()[family] == row(family)
