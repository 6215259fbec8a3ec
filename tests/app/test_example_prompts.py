"""Example prompts: found beside the package, and read whatever they look like."""

from pathlib import Path

from app.example_prompts import ExamplePrompt, parse_example, prompts_folder, read_examples


def test_the_checkouts_prompts_are_found_and_readable() -> None:
    examples = read_examples(prompts_folder())
    assert len(examples) == 4
    assert all(example.title and example.text and "---" not in example.text for example in examples)


def test_front_matter_heading_and_file_name_name_a_prompt() -> None:
    front = "---\ntitle: 'Sky'\ntemperature: 0.3\n---\nWhy is it blue?"
    assert parse_example(front, "x") == ExamplePrompt("Sky", "Why is it blue?", 0.3)
    assert parse_example("# Sky\n\nWhy?", "x") == ExamplePrompt("Sky", "Why?")
    assert parse_example("Why?", "02-blue-sky") == ExamplePrompt("Blue sky", "Why?")
    assert parse_example("---\nno end", "x").text == "---\nno end"


def test_unreadable_and_empty_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.md").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "2.md").write_text("---\ntitle: Empty\n---\n")
    (tmp_path / "3.md").write_text("A question")
    assert [example.text for example in read_examples(tmp_path)] == ["A question"]
    assert read_examples(None) == []
