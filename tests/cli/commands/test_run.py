"""`mlx-spec run`: many prompt files, an answer each and a table of all, without a window."""

import csv
import json
import re
from pathlib import Path

import pytest

from mlx_spec.cli.commands.run.outputs import answer_paths
from tests.cli.calling import mlx_spec


def test_every_prompt_gets_its_answer_and_a_row(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.prompt.md").write_text("---\ntitle: A\nseed: 3\nmax_tokens: 9\nlookahead: 2\n---\nSay {{word}}")
    (tmp_path / "b.txt").write_text("plain {{braces}}")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.prompt.md").write_text("---\nsystem: 'Be {{word}}'\n---\nHello")
    (tmp_path / "inner" / "other.md").write_text("not a prompt file of this folder")
    out = tmp_path / "out" / "deep"
    files = [str(tmp_path / name) for name in ("a.prompt.md", "b.txt", "inner")]
    done = mlx_spec("run", *files, "--out", str(out), "--set", "word=hi", *models, "--max-tokens", "12", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["state"] for row in rows] == ["done"] * 3
    assert rows[0]["title"] == "A"
    assert rows[0]["seed"] == 3
    names = ["a.answer.md", "b.answer.md", "a-2.answer.md"]
    assert [(out / name).read_text() for name in names] == [row["answer"].strip() + "\n" for row in rows]
    assert json.loads((out / "results.json").read_text()) == rows
    with (out / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        answers = [row["answer"].removeprefix("'") for row in csv.DictReader(file)]
    assert answers == [row["answer"].removeprefix("'") for row in rows]
    assert (out / "results.md").read_text().count("| done |") == 3


def test_answers_do_not_fall_onto_each_other_on_any_disk() -> None:
    names = [
        "Note.prompt.md",
        "note.prompt.md",
        "NOTE.txt",
        "note-2.txt",
        "caf\u00e9.txt",
        "cafe\u0301.txt",
        "x.PROMPT.MD",
    ]
    answers = answer_paths([Path(name) for name in names], Path("out"))
    stems = ["Note", "note-2", "NOTE-3", "note-2-2", "caf\u00e9", "cafe\u0301-2", "x"]
    assert [path.name for path in answers] == [f"{stem}.answer.md" for stem in stems]


def test_a_long_name_leaves_room_for_its_answers() -> None:
    names = ["ü" * 120 + ".txt", "ü" * 121 + ".txt", "x" * 250 + ".txt"]
    answers = answer_paths([Path(name) for name in names], Path("out"))
    assert all(len(path.name.encode()) <= 255 for path in answers)
    assert len(set(answers)) == 3


def test_what_of_a_file_could_not_be_read_is_told(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße aus Köln. ".encode() * 3 + b"\xff")
    ran = mlx_spec("run", str(tmp_path / "a.txt"), "--out", str(tmp_path / "o"), *models, "--max-tokens", "3")
    generated = mlx_spec("generate", "--file", str(tmp_path / "a.txt"), *models, "--max-tokens", "3")
    for done in (ran, generated):
        assert done.returncode == 0
        assert f"{tmp_path / 'a.txt'}: 1 unreadable character" in done.stderr


def test_the_words_are_those_of_generate(models: list[str], tmp_path: Path) -> None:
    prompt = tmp_path / "a.prompt.md"
    prompt.write_text("---\nseed: 3\ntemperature: 0.8\nmax_tokens: 9\nsystem: Be brief.\n---\nSay {{word}}")
    ran = mlx_spec("run", str(prompt), "--out", str(tmp_path / "o"), "--set", "word=a=b", *models, "--json")
    generated = mlx_spec("generate", "--file", str(prompt), "--set", "word=a=b", *models, "--json")
    assert json.loads(ran.stdout)[0]["answer"] == json.loads(generated.stdout)["text"] != ""


def test_it_goes_on_after_an_error_and_ends_with_one_line_and_2(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "1.prompt.md").write_text("---\ntemperature: hot\n---\nx")
    (tmp_path / "2.prompt.md").write_text("---\ntemperature: 900\n---\nx")
    (tmp_path / "3.prompt.md").write_text("needs {{this}}")
    (tmp_path / "4.prompt.md").write_text("fine")
    (tmp_path / "5.bin").write_bytes(bytes(range(256)))
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    out = tmp_path / "out"
    done = mlx_spec("run", *files, str(tmp_path / "gone.md"), "--out", str(out), *models, "--max-tokens", "5")
    assert done.returncode == 2
    rows = json.loads((out / "results.json").read_text())
    assert [row["state"] for row in rows] == ["failed", "failed", "failed", "done", "failed", "failed"]
    for row, words in zip(rows, ("line 2", "[0, 100]", "--set this=", "", "binary", "not there"), strict=True):
        assert words in row["error"]
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("mlx-spec: 5 of 6 prompts failed: ")
    assert [path.name for path in out.glob("*.answer.md")] == ["4.answer.md"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "word"], "write NAME=TEXT"),
        (["--set", "colour=red"], "No prompt has a variable 'colour': there are word"),
        (["--lookahead", "99"], "lookahead is '99'"),
    ],
)
def test_a_wrong_option_is_told_before_any_work(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "a.prompt.md").write_text("Say {{word}}")
    done = mlx_spec("run", str(tmp_path / "a.prompt.md"), "--out", str(tmp_path / "out"), *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_earlier_runs_answers_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "a.prompt.md").write_text("Hello")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.answer.md").write_text("precious")
    done = mlx_spec("run", str(tmp_path / "a.prompt.md"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert (tmp_path / "out" / "a.answer.md").read_text() == "precious"


def test_a_folder_without_prompt_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("Hello")
    done = mlx_spec("run", str(tmp_path), "--out", str(tmp_path / "out"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "holds no *.prompt.md" in done.stderr


def test_what_drafts_have_shown_in_a_run_is_kept(models: list[str], tmp_path: Path, lookahead_home: Path) -> None:
    """One calibrated decoder answers all prompts, so that each is planned by what those before it have shown."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("say it again, say it again, say it again")
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    done = mlx_spec("run", *files, "--out", str(tmp_path / "out"), *models, "--max-tokens", "40", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    (kept,) = (lookahead_home / "experience").glob("*.json")
    assert json.loads(kept.read_text())["greedy"]["draft_steps"]


def test_a_system_prompt_of_many_files_is_read_once(models: list[str], tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.prompt.md").write_text(f"---\nseed: 3\nsystem: {'Be brief. ' * 12}\n---\nSay {name}")
    files = [str(tmp_path / f"{name}.prompt.md") for name in ("a", "b", "c")]
    kept = mlx_spec("run", *files, "--out", str(tmp_path / "kept"), *models, "--max-tokens", "9")
    read = mlx_spec("run", *files, "--out", str(tmp_path / "r"), *models, "--max-tokens", "9", "--prefix-memory", "0")
    assert (kept.returncode, read.returncode) == (0, 0)
    told = re.findall(r"(\d) of 3 .*, read (\d+) of (\d+) tokens$", kept.stderr, re.MULTILINE)
    assert [number for number, _, _ in told] == ["2", "3"]
    assert all(int(of) - int(new) >= 64 for _, new, of in told)
    assert ", read " not in read.stderr
    for name in ("a", "b", "c"):
        answer = f"{name}.answer.md"
        assert (tmp_path / "kept" / answer).read_text() == (tmp_path / "r" / answer).read_text()


def test_a_later_run_finds_on_the_disk_what_this_one_has_read(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.prompt.md").write_text(f"---\nseed: 3\nsystem: {'Be brief. ' * 12}\n---\nSay a")
    told = []
    for number in "12":
        out = str(tmp_path / number)
        done = mlx_spec(
            "run", str(tmp_path / "a.prompt.md"), "--out", out, *models, "--max-tokens", "9", "--prefix-disk", "50"
        )
        assert done.returncode == 0, done.stderr
        told.append(re.findall(r"read (\d+) of (\d+) tokens$", done.stderr, re.MULTILINE))
    ((new, of),) = told.pop()
    assert int(of) - int(new) >= 64
    assert told == [[]]
    assert (tmp_path / "1" / "a.answer.md").read_text() == (tmp_path / "2" / "a.answer.md").read_text()
