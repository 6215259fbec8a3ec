"""Example prompts: found beside the package, and read by the one parser of prompt files."""

from pathlib import Path

from app.prompts.examples import ExamplePrompt, prompts_folder, read_examples


def test_the_checkouts_prompts_are_found_and_readable() -> None:
    examples = read_examples(prompts_folder())
    assert len(examples) == 4
    assert all(example.title and example.text and "---" not in example.text for example in examples)


def test_front_matter_or_the_file_name_names_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "1.prompt.md").write_text("---\ntitle: 'Sky'\ntemperature: 0.3\n---\nWhy is it blue?")
    (tmp_path / "02-blue-sky.prompt.md").write_text("Why?")
    assert read_examples(tmp_path) == [ExamplePrompt("Blue sky", "Why?"), ExamplePrompt("Sky", "Why is it blue?", 0.3)]


def test_what_cannot_be_asked_at_a_click_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.prompt.md").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "2.prompt.md").write_text("---\ntitle: Empty\n---\n")
    (tmp_path / "3.prompt.md").write_text("A question")
    (tmp_path / "4.prompt.md").write_text("Translate {{text}}")
    (tmp_path / "5.md").write_text("no prompt file")
    assert [example.text for example in read_examples(tmp_path)] == ["A question"]
    assert read_examples(None) == []
