"""The conversation: questions and answers as plain values. Knows no Qt."""

from dataclasses import dataclass, field
from typing import Any, Literal

from app.protocol import Finished, Round

Lookahead = int | Literal["auto"]
Drafter = Literal["auto", "model", "ngram", "none"]
AnswerState = Literal["waiting", "streaming", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the toolbar asks for. `seed` None draws a new one for each answer; `drafter` "none" decodes plainly."""

    temperature: float = 0.7
    lookahead: Lookahead = "auto"
    drafter: Drafter = "auto"
    seed: int | None = None
    max_tokens: int = 1024


@dataclass(slots=True)
class Answer:
    """One answer as it grows. `seed` is known from the start, so that a stopped answer can be asked again."""

    seed: int
    text: str = ""
    state: AnswerState = "waiting"
    rounds: list[Round] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.state in ("waiting", "streaming")

    @property
    def was_cut(self) -> bool:
        """Whether the length limit ended it."""
        return self.finished is not None and self.finished.finish_reason == "length"


@dataclass(slots=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: Answer


@dataclass(slots=True)
class Conversation:
    """Turns, oldest first."""

    turns: list[Turn] = field(default_factory=list)

    def messages(self) -> list[dict[str, str]]:
        """The conversation as OpenAI's `messages`. Turns that brought no text are left out, the newest kept."""
        messages: list[dict[str, str]] = []
        for turn in self.turns:
            if turn.answer.text:
                messages.append({"role": "user", "content": turn.question})
                messages.append({"role": "assistant", "content": turn.answer.text})
            elif turn is self.turns[-1]:
                messages.append({"role": "user", "content": turn.question})
        return messages

    def to_markdown(self) -> str:
        """The whole conversation, to be pasted elsewhere."""
        parts = [f"**You**\n\n{turn.question}\n\n**Answer**\n\n{turn.answer.text.strip()}" for turn in self.turns]
        return "\n\n---\n\n".join(parts) + ("\n" if parts else "")


def build_request(messages: list[dict[str, str]], model: str, settings: Settings, seed: int) -> dict[str, Any]:
    """The body of `POST /v1/chat/completions`."""
    speculation: dict[str, Any] = {"events": True, "lookahead": settings.lookahead}
    if settings.drafter != "auto":  # else the engine's own choice, which it may have been started with
        speculation["drafter"] = settings.drafter
    return {
        "model": model,
        "messages": messages,
        "stream": True,
        "temperature": settings.temperature,
        "seed": seed,
        "max_tokens": settings.max_tokens,
        "speculation": speculation,
    }
