"""One chat with the answer that it is given. It goes on while another chat shows."""

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from app.chat.answering import Answering
from app.chat.recorder import ChatRecorder
from app.chat.rounds import RoundsInMemory
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess
from app.engine.protocol import Standing
from app.engine.request import Settings, build_request
from app.speculation import TraceViewModel
from app.store import Answer, AnswerState, Chat, Conversation, Store


class ChatSession(QObject):
    """Has a connection of its own, so that several chats are answered at once. Takes one chat after the other.

    Signals:
        grew, prefill_shown, standing_shown: those of Answering.
        closed: the Answer that is finished, stopped or failed.
        problem_raised: a Problem with the answer, after `closed`.
        refused: a Problem of the store's.
        chats_changed: the list of chats is another.
    """

    grew = Signal()
    closed = Signal(object)
    prefill_shown = Signal(object)
    standing_shown = Signal(object)
    problem_raised = Signal(object)
    refused = Signal(object)
    chats_changed = Signal()

    def __init__(self, engine: EngineProcess, trace: TraceViewModel, store: Store, parent: QObject) -> None:
        super().__init__(parent)
        self.conversation = Conversation()
        self.settings = Settings()
        self.newest: Answer | None = None
        """The answer that was asked for last."""
        self.client = EngineClient(self)
        engine.connect_client(self.client)
        self.rounds = RoundsInMemory(store)
        self.recorder = ChatRecorder(store, self)
        self.recorder.follow(None, self.conversation, self.settings)
        self.recorder.chats_changed.connect(self.chats_changed)
        self.recorder.refused.connect(self.refused)
        self.answering = Answering(self.client, trace, self.recorder, self)
        self.answering.grew.connect(self.grew)
        self.answering.closed.connect(self.closed)
        self.answering.prefill_shown.connect(self.prefill_shown)
        self.answering.standing_shown.connect(self.standing_shown)
        self.answering.problem_raised.connect(self.problem_raised)

    @property
    def chat(self) -> Chat | None:
        """The chat's row, None before its first question."""
        return self.recorder.chat

    @property
    def title(self) -> str:
        """The chat's title, empty before its first question."""
        return self.chat.title if self.chat is not None else ""

    @property
    def chat_key(self) -> str | None:
        """By what the engine knows the chat."""
        return self.chat.cache_key if self.chat is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self.answering.answer is not None

    @property
    def standing(self) -> Standing | None:
        """Where the answer under way stands among others, None without one."""
        return self.answering.standing if self.is_busy else None

    @property
    def is_settled(self) -> bool:
        """Whether the store has all of it, and nothing is left to be told."""
        return not self.is_busy and not self.recorder.is_behind and self.answering.problem is None

    def follow(self, chat: Chat | None, conversation: Conversation, settings: Settings) -> None:
        """Take another chat; an answer under way is stopped."""
        self.end("stopped")
        self.conversation, self.settings, self.newest = conversation, settings, None
        self.problem_told()
        self.recorder.follow(chat, conversation, settings)
        self.rounds.forget()

    def set_settings(self, settings: Settings) -> None:
        """Make the coming answers in another way."""
        self.settings = settings
        self.recorder.set_settings(settings)

    def begin(self, answer: Answer, model: str, *, continues: bool = False) -> None:
        """Ask `model` for the newest answer of the path, or to go on with it."""
        self.newest = answer
        self.recorder.asked()
        self.rounds.keep(answer)
        body = build_request(self.conversation.messages(), model, self.settings, answer.seed, self.chat_key)
        self.answering.begin(answer, body | {"continue_final_message": True} if continues else body)

    def end(self, state: AnswerState) -> None:
        """Ask for no more; what arrived is kept."""
        self.answering.end(state)

    def lose(self, problem: Problem) -> None:
        """The engine is gone, and with it an answer under way. Tells nobody but who asks for what was missed."""
        if self.is_busy:
            self.answering.problem = replace(
                problem, advice=self.tr("What arrived of the answer is kept."), remedy="retry"
            )
            self.end("failed")

    def stop(self) -> None:
        """Stop the answer under way."""
        self.end("stopped")

    def tell_again(self) -> None:
        """Send what was told while nobody looked: how the answer stands, or what went wrong with it."""
        self.answering.tell_again()
        if (problem := self.answering.problem) is not None:
            self.problem_raised.emit(problem)

    def problem_told(self) -> None:
        """What went wrong was shown to somebody."""
        self.answering.problem = None
