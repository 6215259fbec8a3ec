"""Prompt files: text, perhaps with front matter."""

from pathlib import Path

import pytest

from mlx_spec.cli.terminal.prompt_file import read_prompt_file
from mlx_spec.errors import PromptError


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "prompt.md"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_text_is_the_prompt(tmp_path: Path) -> None:
    opened = read_prompt_file(written(tmp_path, "\ufeffHello 🙂\nthere\n"))
    assert (opened.text, opened.settings) == ("Hello 🙂\nthere", {})


def test_front_matter_sets_options(tmp_path: Path) -> None:
    opened = read_prompt_file(written(tmp_path, "---\ntitle: A\ntemperature: 0.5\n---\n\nHello\n"))
    assert (opened.text, opened.settings) == ("Hello", {"title": "A", "temperature": 0.5})


def test_the_text_stays_as_it_was_written(tmp_path: Path) -> None:
    opened = read_prompt_file(written(tmp_path, "---\r\nseed: 1\r\nsystem:\r\n---\r\na\x0cb\u2028c\td\r\n"))
    assert (opened.text, opened.settings) == ("a\x0cb\u2028c\td", {"seed": 1})


def test_a_ruled_line_is_not_front_matter(tmp_path: Path) -> None:
    assert read_prompt_file(written(tmp_path, "---\nHello")).text == "---\nHello"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "is a binary file, not text"),
        ("a\0b", "is a binary file, not text"),
        ("  \n", "is empty"),
        ("---\nseed: 1\n---\n", "is empty"),
        ("---\ntitle: A\ntemperature: hot\n---\nhi", "line 3: temperature is 'hot', but must be a number"),
        ("---\nsystem: [5]\n---\nhi", r"system is \['5'\], but must be text"),
        ("---\nseed: 1\n---\nhi {{name}}, {{who}}", "needs a value for name, who: give it with --set name=TEXT"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        read_prompt_file(written(tmp_path, content))
    assert "prompt.md" in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="is not there"):
        read_prompt_file(tmp_path / "none.md")
    with pytest.raises(PromptError, match="is a folder"):
        read_prompt_file(tmp_path)


def test_the_shipped_prompts_are_readable() -> None:
    from mlx_spec.machine.resources import resources_folder
    from prompt_files import read_prompt

    prompts = sorted((resources_folder() / "prompts").glob("*.md"))
    assert len(prompts) >= 4
    assert all(read_prompt(path).text for path in prompts)
