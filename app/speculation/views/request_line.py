"""One request on the page of requests: what it is called, how far it is, its rows of the newest step, and its end."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.engine.pages.batch.records import RunningRequest, WaitingRequest
from app.look.theme import Palette
from app.look.widgets.elided_label import ElidedLabel
from app.speculation.requests import Named
from app.speculation.views.charts.step_rows import StepRows


class RequestLine(QWidget):
    """Stays while its request does, so that a button is where it was when one reaches for it.

    Signals:
        stop_chosen: the engine's name of the request.
    """

    stop_chosen = Signal(str)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._id = ""
        self.title, self.words = ElidedLabel(), ElidedLabel()
        self.title.setProperty("role", "figure")
        self.words.setProperty("role", "muted")
        self.rows = StepRows(palette)
        self.stop = QPushButton(self.tr("Stop"))
        self.stop.setProperty("role", "link")
        self.stop.clicked.connect(lambda: self.stop_chosen.emit(self._id))
        policy = self.stop.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # lines with and without it are as high
        self.stop.setSizePolicy(policy)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title, 1)
        head.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(head)
        layout.addWidget(self.words)
        layout.addWidget(self.rows)

    def show_request(self, named: Named) -> None:
        """Show how it is now."""
        request = named.request
        self._id = request.id
        self.title.show_text(named.title)
        self.stop.setVisible(named.own is not None)
        self.stop.setAccessibleName(self.tr("Stop {0}").format(named.title))
        self.stop.setToolTip(self.tr("Stop this answer; what arrived of it is kept"))
        if isinstance(request, RunningRequest):
            self.words.show_text(self._running_words(request))
            self.rows.show_rows(request.rows)
        else:
            self.words.show_text(self._waiting_words(request))
        self.rows.setVisible(isinstance(request, RunningRequest))

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.rows.apply_palette(palette)

    def _running_words(self, request: RunningRequest) -> str:
        if request.state == "reading":
            told = self.tr("Reading {0:,} of {1:,} tokens").format(request.read_tokens, request.prompt_tokens)
        else:
            told = self.tr("Writing, {0:,} tokens").format(request.written_tokens)
        blocks = self.tr("1 block") if request.blocks == 1 else self.tr("{0:,} blocks").format(request.blocks)
        return " · ".join((told, blocks, *self._priority(request.priority)))

    def _waiting_words(self, request: WaitingRequest) -> str:
        ahead = self.tr("{0:,} ahead").format(request.ahead) if request.ahead else self.tr("Next")
        prompt = self.tr("{0:,} tokens to read").format(request.prompt_tokens)
        return " · ".join((ahead, prompt, *self._priority(request.priority)))

    def _priority(self, priority: str) -> list[str]:
        """The usual one is not worth a word."""
        return {"high": [self.tr("high priority")], "low": [self.tr("low priority")]}.get(priority, [])
