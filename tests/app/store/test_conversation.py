"""What is sent to the engine, and what is copied."""

import pytest

from app.engine.request import ALTERNATIVES, Drafter, Lookahead, Settings, build_request
from app.store.conversation import Answer, Conversation
from mlx_spec.models.files import sampling_defaults


def conversation(*answers: str) -> Conversation:
    return Conversation.of((f"question {i}", Answer(seed=i, text=text)) for i, text in enumerate(answers))


def test_turns_without_text_are_left_out_but_not_the_newest() -> None:
    messages = conversation("first", "", "third", "").messages()
    assert [message["content"] for message in messages] == ["question 0", "first", "question 2", "third", "question 3"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("drafter", "lookahead", "expected"),
    [
        ("auto", "auto", {"lookahead": "auto"}),
        ("auto", 5, {"lookahead": 5}),
        ("ngram", "auto", {"lookahead": "auto", "drafter": "ngram"}),
        ("none", "auto", {"lookahead": "auto", "drafter": "none"}),
    ],
)
def test_speculation_in_the_request(drafter: Drafter, lookahead: Lookahead, expected: dict) -> None:
    body = build_request([], "m", Settings(temperature=0.2, drafter=drafter, lookahead=lookahead), seed=9)
    assert body["speculation"] == {"events": True, "alternatives": ALTERNATIVES} | expected
    assert (body["temperature"], body["seed"], body["stream"]) == (0.2, 9, True)


def test_markdown_holds_every_turn() -> None:
    text = conversation("first", "second").to_markdown()
    assert text.index("question 0") < text.index("first") < text.index("question 1") < text.index("second")
    assert Conversation().to_markdown() == ""


def test_the_window_says_every_setting_that_would_else_be_the_models_own() -> None:
    said = {name: value for name, value in build_request([], "m", Settings(), seed=9).items() if value is not None}
    assert set(sampling_defaults.FIELDS) <= said.keys()
