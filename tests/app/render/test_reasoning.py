"""What is folded as reasoning, and what is not."""

import pytest

from app.render.reasoning import Parts, split_reasoning


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>A.</think>B", Parts("A.", "B")),
        ("<think>\nA.\n</think>\n\nB </think> C", Parts("A.", "B </think> C")),
        ("<think>A.</thi", Parts("A.", "", is_thinking=True)),
        ("<thi", Parts("", "", is_thinking=True)),
        ("The tag </think> ends it.", Parts("", "The tag </think> ends it.")),
        ("Write <think> and </think>.", Parts("", "Write <think> and </think>.")),
        ("", Parts("", "")),
    ],
)
def test_reasoning_is_what_stands_first_between_the_tags(text: str, parts: Parts) -> None:
    assert split_reasoning(text) == parts
