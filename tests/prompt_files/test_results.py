"""The table of a run, for other programs and for people."""

import csv
import io
import json

import pytest

from prompt_files.results import Result, export

ROWS = [
    Result(file="a|b.md", title="A\nB", state="done", answer='He said "hi",\nthen left.', completion_tokens=7,
           tokens_per_second=31.25, acceptance_rate=0.5, seed=3),
    Result(file="c.md", title="C", state="failed", error="c.md, line 2: wrong."),
]  # fmt: skip


def test_csv_and_json_bring_back_what_went_in() -> None:
    rows = list(csv.DictReader(io.StringIO(export(ROWS, "csv").removeprefix("\ufeff"))))
    assert [row["answer"] for row in rows] == [row.answer for row in ROWS]
    assert rows[1]["completion_tokens"] == ""
    assert [Result(**row) for row in json.loads(export(ROWS, "json"))] == ROWS


def read(text: str) -> list[dict[str, str]]:
    """As a program reads it that knows the mark."""
    return list(csv.DictReader(io.StringIO(text.encode().decode("utf-8-sig"))))


@pytest.mark.parametrize(
    "answer", ["=1+1", "+49 221", "- first\n- second", "@here", "=HYPERLINK(0)", "＝1", "\t=1", "\r=1", "\n=1"]
)
def test_no_cell_is_a_formula(answer: str) -> None:
    (row,) = read(export([Result(file="=a.md", title="@t", state="failed", answer=answer, error="-e")], "csv"))
    assert [row[key] for key in ("file", "title", "answer", "error")] == ["'=a.md", "'@t", "'" + answer, "'-e"]


def test_numbers_and_other_texts_are_left_alone() -> None:
    result = Result(file="a.md", title="1-2", state="done", answer="'=1", seed=-3, acceptance_rate=-0.5)
    (row,) = read(export([result], "csv"))
    assert [row[key] for key in ("title", "answer", "seed", "acceptance_rate")] == ["1-2", "'=1", "-3", "-0.5"]


def test_excel_reads_the_table_as_utf8() -> None:
    result = Result(file="a.md", title="Grüße", state="done", answer="=1")
    assert export([result], "csv").encode().startswith(b"\xef\xbb\xbffile,title,")
    for kind in ("json", "markdown"):
        assert not export([result], kind).startswith("\ufeff")
    assert json.loads(export([result], "json"))[0]["answer"] == "=1", "programs get what was answered"


def test_markdown_has_a_row_and_the_whole_answer_for_each() -> None:
    text = export(ROWS, "markdown")
    assert "| a\\|b.md | A B | done | 7 | 31.2 | 50% |" in text
    assert 'He said "hi",\nthen left.' in text
    assert "c.md, line 2: wrong." in text
