"""The chat that a window shows, as it stands: what was said, what is under way, and whether more can be asked."""

from PySide6.QtCore import QObject

from app.chat.activity import ChatActivity
from app.chat.recorder import ChatRecorder
from app.chat.served import ServedModel
from app.chat.session import ChatSession
from app.chat.sessions import ChatSessions
from app.engine.client import EngineClient
from app.engine.process import EngineProcess
from app.engine.protocol import Standing
from app.engine.request import Settings
from app.speculation import TraceViewModel
from app.store import Answer, Chat, Conversation, Store


class OpenChat(QObject):
    """Has a session for the chat that shows, and one for each that is answered meanwhile."""

    def __init__(
        self,
        engine: EngineProcess,
        client: EngineClient,
        trace: TraceViewModel,
        store: Store | None = None,
        activity: ChatActivity | None = None,
    ) -> None:
        """`client` tells which model is served. Without a `store` the chats are kept in memory only."""
        super().__init__()
        self._served = ServedModel(engine, client, self)
        self.store = kept = store or Store(None)
        self.activity = activity or ChatActivity(self)
        self.sessions = ChatSessions(lambda parent: ChatSession(engine, trace, kept, parent), self.activity, self)

    @property
    def session(self) -> ChatSession:
        """The open chat with its answer."""
        return self.sessions.shown

    @property
    def conversation(self) -> Conversation:
        """What was said in the open chat."""
        return self.session.conversation

    @property
    def recorder(self) -> ChatRecorder:
        """What keeps the open chat."""
        return self.session.recorder

    @property
    def chat(self) -> Chat | None:
        """The open chat's row, None before its first question."""
        return self.recorder.chat

    @property
    def title(self) -> str:
        """The open chat's title, empty before its first question."""
        return self.session.title

    @property
    def settings(self) -> Settings:
        """How the answers of this chat are made."""
        return self.session.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self.session.settings:
            self.session.set_settings(settings)

    @property
    def open_answer(self) -> Answer | None:
        """The answer under way."""
        return self.session.answering.answer

    @property
    def standing(self) -> Standing | None:
        """Where that answer stands among others, None without one."""
        return self.session.standing

    @property
    def request_id(self) -> str | None:
        """The engine's name of the answer under way, None before it told one."""
        return self.session.client.request_id

    @property
    def is_busy(self) -> bool:
        """Whether an answer of this chat is under way."""
        return self.session.is_busy

    @property
    def is_any_busy(self) -> bool:
        """Whether an answer of any chat of this window is under way."""
        return any(session.is_busy for session in self.sessions.all)

    @property
    def model(self) -> str:
        """What the engine serves, empty before it told."""
        return self._served.name

    @property
    def is_served(self) -> bool:
        """Whether an engine is there to be asked."""
        return self._served.is_ready

    @property
    def is_ready(self) -> bool:
        """Whether a question could be asked in this chat now."""
        return not self.is_busy and self.is_served

    def can_send(self, text: str) -> bool:
        """Whether `text` can be asked now."""
        return bool(text.strip()) and self.is_ready
