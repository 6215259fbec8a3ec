"""How the engine speculates: a change holds for the coming answers, and for the one under way from its next round."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QObject, Signal

from app.chat.shown import ChatViewModel
from app.engine.speculation_client import SpeculationClient

NEXT_ANSWER = QT_TRANSLATE_NOOP("SteeringViewModel", "Holds from the next answer on.")
NEXT_ROUND = QT_TRANSLATE_NOOP("SteeringViewModel", "Holds from the next round on, and for the coming answers.")


class SteeringViewModel(QObject):
    """Changes the chat's settings, and the open answer's.

    Signals:
        told: what became of the last change, in a sentence.
        settings_changed: the Settings as they are now.
    """

    told = Signal(str)
    settings_changed = Signal(object)

    def __init__(self, chat: ChatViewModel, speculation: SpeculationClient) -> None:
        super().__init__()
        self._chat, self._speculation = chat, speculation
        speculation.steered.connect(lambda: self.told.emit(self.tr(NEXT_ROUND)))
        speculation.refused.connect(
            lambda why: self.told.emit(self.tr("The answer under way stays as it is. {0}").format(why))
        )

    def change(self, fields: Mapping[str, Any]) -> None:
        """Take new values of some of the Settings' fields."""
        self._chat.settings = replace(self._chat.settings, **fields)
        self.settings_changed.emit(self._chat.settings)
        if self._chat.is_busy:
            self._speculation.steer(self._chat.request_id, fields)
        else:
            self.told.emit(self.tr(NEXT_ANSWER))
