"""The messages of a chat as the tree that the window shows."""

from collections.abc import Iterable
from typing import TypeVar

from app.store.conversation import Answer, Conversation, Question, Versions
from app.store.records import Message

_Version = TypeVar("_Version")


def conversation_of(messages: Iterable[Message]) -> Conversation:
    """The conversation, from messages of which every parent comes before its children.

    A question without an answer gets an interrupted one, so that it can be asked again.
    """
    conversation = Conversation()
    questions: dict[int, Question] = {}
    answers: dict[int, Answer] = {}
    for message in messages:
        if message.role == "user":
            question = Question(message.text, message.attachments, message.id, message.created_at)
            questions[message.id] = question
            parent = answers.get(message.parent_id) if message.parent_id is not None else None
            _put(conversation.openings if parent is None else parent.follow_ups, question, is_shown=message.is_shown)
        elif message.parent_id in questions:
            answer = answers[message.id] = _answer(message)
            _put(questions[message.parent_id].answers, answer, is_shown=message.is_shown)
    for question in questions.values():
        if not question.answers.all:
            question.answers.add(Answer(seed=0, state="failed"))
    return conversation


def _put(versions: Versions[_Version], version: _Version, *, is_shown: bool) -> None:
    versions.all.append(version)
    if is_shown:
        versions.index = len(versions.all) - 1


def _answer(message: Message) -> Answer:
    record = message.answer
    if record is None:
        return Answer(seed=0, text=message.text, state="failed", key=message.id, created_at=message.created_at)
    return Answer(
        seed=record.seed,
        text=message.text,
        state=record.state,
        finished=record.finished,
        model=record.model,
        num_rounds=record.num_rounds,
        key=message.id,
        created_at=message.created_at,
    )
