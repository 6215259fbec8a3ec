"""The conversation as plain values: a tree of questions and answers, of which one path shows. Knows no Qt."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from app.engine.protocol import Finished, Round
from app.engine.request import ChatMessage

AnswerState = Literal["waiting", "streaming", "finished", "stopped", "failed"]

_Version = TypeVar("_Version")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text that goes along with a question."""

    name: str
    text: str


@dataclass(slots=True)
class Versions(Generic[_Version]):
    """Alternatives for one place of the conversation, oldest first, of which one shows."""

    all: list[_Version] = field(default_factory=list)
    index: int = 0

    @property
    def shown(self) -> _Version | None:
        """The one that shows, None where there is none."""
        return self.all[self.index] if self.all else None

    def add(self, version: _Version) -> None:
        """Add one and show it."""
        self.all.append(version)
        self.index = len(self.all) - 1

    def step(self, by: int) -> bool:
        """Show the one `by` places further; False where there is none."""
        index = self.index + by
        if not 0 <= index < len(self.all):
            return False
        self.index = index
        return True


@dataclass(slots=True, eq=False)
class Answer:
    """One answer as it grows. `seed` is known from the start, so that a stopped answer can be asked again.

    `rounds` is filled as the answer grows; of an answer from the store it is empty until it is asked for.
    `num_rounds` of them are packed in the store, where its row is `key`, None while it has none.
    """

    seed: int
    text: str = ""
    state: AnswerState = "waiting"
    rounds: list[Round] = field(default_factory=list)
    finished: Finished | None = None
    model: str = ""
    num_rounds: int = 0
    key: int | None = None
    created_at: float = field(default_factory=time.time)
    follow_ups: "Versions[Question]" = field(default_factory=lambda: Versions())

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.state in ("waiting", "streaming")

    @property
    def was_cut(self) -> bool:
        """Whether the length limit ended it."""
        return self.finished is not None and self.finished.finish_reason == "length"

    @property
    def can_continue(self) -> bool:
        """Whether the model had more to say: it was cut, stopped or interrupted after its first words."""
        return bool(self.text) and not self.is_open and (self.was_cut or self.state in ("stopped", "failed"))

    @property
    def has_rounds(self) -> bool:
        """Whether rounds are here or in the store."""
        return bool(self.rounds) or self.num_rounds > 0


@dataclass(slots=True, eq=False)
class Question:
    """One wording of a question, what was attached to it, and its answers."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    key: int | None = None
    created_at: float = field(default_factory=time.time)
    answers: Versions[Answer] = field(default_factory=lambda: Versions())

    @property
    def prompt(self) -> str:
        """What the model reads: the attachments, each under its name, then the question."""
        parts = [f'<file name="{one.name}">\n{one.text.rstrip()}\n</file>' for one in self.attachments]
        return "\n\n".join([*parts, self.text] if self.text else parts)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of the path that shows, and the answer of it that shows. `siblings` are the question's wordings."""

    asked: Question
    answer: Answer
    siblings: Versions[Question] = field(default_factory=lambda: Versions())

    @property
    def question(self) -> str:
        """The question's text."""
        return self.asked.text


@dataclass(slots=True)
class Conversation:
    """A tree: each question follows an answer, or opens the conversation. The path of shown versions is its text."""

    openings: Versions[Question] = field(default_factory=lambda: Versions())

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Answer]]) -> "Conversation":
        """A conversation without alternatives."""
        conversation = cls()
        for text, answer in pairs:
            conversation.ask(Question(text), answer)
        return conversation

    @property
    def turns(self) -> list[Turn]:
        """The turns of the path that shows, oldest first."""
        turns, place = [], self.openings
        while (question := place.shown) is not None and (answer := question.answers.shown) is not None:
            turns.append(Turn(question, answer, place))
            place = answer.follow_ups
        return turns

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked."""
        return not self.openings.all

    def ask(self, question: Question, answer: Answer) -> Turn:
        """Add a question and its coming answer at the path's end."""
        turns = self.turns
        return self.ask_at(turns[-1].answer.follow_ups if turns else self.openings, question, answer)

    def ask_at(self, place: Versions[Question], question: Question, answer: Answer) -> Turn:
        """Add a question among the wordings of `place`, which shows it from now on."""
        place.add(question)
        question.answers.add(answer)
        return Turn(question, answer, place)

    def messages(self) -> list[ChatMessage]:
        """The path as OpenAI's `messages`. Turns that brought no text are left out, but not the newest.

        Where the newest answer has a text, it comes last: the model is to continue it.
        """
        messages: list[ChatMessage] = []
        turns = self.turns
        for turn in turns:
            if turn.answer.text or turn is turns[-1]:
                messages.append({"role": "user", "content": turn.asked.prompt})
            if turn.answer.text:
                messages.append({"role": "assistant", "content": turn.answer.text})
        return messages

    def to_markdown(self) -> str:
        """The path that shows, to be pasted elsewhere."""
        parts = [f"**You**\n\n{turn.question}\n\n**Answer**\n\n{turn.answer.text.strip()}" for turn in self.turns]
        return "\n\n---\n\n".join(parts) + ("\n" if parts else "")


def messages_before(turns: Sequence[Turn], turn: Turn) -> list[ChatMessage]:
    """The messages that `turn`'s question was asked with: what stood before it, and the question, unanswered."""
    messages: list[ChatMessage] = []
    for one in turns:
        messages.append({"role": "user", "content": one.asked.prompt})
        if one.answer is turn.answer:
            break
        if one.answer.text:
            messages.append({"role": "assistant", "content": one.answer.text})
        else:
            messages.pop()
    return messages
