"""A run of markdown blocks other than code, in one document, so that a selection can span them."""

from collections.abc import Sequence

from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QWidget

from app.render.document_writer import DocumentWriter
from app.render.markdown import Block
from app.theme import Palette
from app.views.flow_text import FlowText


class TextSegment(FlowText):
    """Blocks are appended once; only a tail, the block still growing, is taken off and written again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Answer text"))
        self._tail_start: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return self.document().isEmpty()

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self]

    def append_blocks(self, blocks: Sequence[Block], palette: Palette, *, is_tail: bool = False) -> None:
        """Write blocks at the end; as a tail they can be dropped again."""
        if is_tail:
            self._tail_start = max(0, self.document().characterCount() - 1)
        DocumentWriter(self.document(), palette).write(blocks)

    def drop_tail(self) -> None:
        """Take off the tail, if there is one."""
        if self._tail_start is None:
            return
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._tail_start)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        self._tail_start = None
