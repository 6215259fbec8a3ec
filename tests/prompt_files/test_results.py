"""The table of a run, for other programs and for people."""

import csv
import io
import json

from prompt_files.results import Result, export

ROWS = [
    Result(file="a|b.md", title="A\nB", state="done", answer='He said "hi",\nthen left.', completion_tokens=7,
           tokens_per_second=31.25, acceptance_rate=0.5, seed=3),
    Result(file="c.md", title="C", state="failed", error="c.md, line 2: wrong."),
]  # fmt: skip


def test_csv_and_json_bring_back_what_went_in() -> None:
    rows = list(csv.DictReader(io.StringIO(export(ROWS, "csv"))))
    assert [row["answer"] for row in rows] == [row.answer for row in ROWS]
    assert rows[1]["completion_tokens"] == ""
    assert [Result(**row) for row in json.loads(export(ROWS, "json"))] == ROWS


def test_markdown_has_a_row_and_the_whole_answer_for_each() -> None:
    text = export(ROWS, "markdown")
    assert "| a\\|b.md | A B | done | 7 | 31.2 | 50% |" in text
    assert 'He said "hi",\nthen left.' in text
    assert "c.md, line 2: wrong." in text
