"""A run of markdown blocks other than code, in one document, so that a selection can span them."""

from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QWidget

from app.render.document_writer import DocumentWriter
from app.render.markdown import Block, References, linked
from app.theme import Palette
from app.views.flow_text import FlowText


class TextSegment(FlowText):
    """Blocks are appended once; only a tail, the blocks still growing, is taken off and written again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Answer text"))
        self._blocks: list[Block] = []
        self._tail_start: int | None = None

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self]

    def append_block(self, block: Block, palette: Palette, *, is_tail: bool = False) -> None:
        """Write a block at the end; what is written as tail can be dropped again."""
        if not is_tail:
            self._blocks.append(block)
        elif self._tail_start is None:
            self._tail_start = max(0, self.document().characterCount() - 1)
        DocumentWriter(self.document(), palette).write([block])

    def drop_tail(self) -> None:
        """Take off the tail, if there is one."""
        if self._tail_start is None:
            return
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._tail_start)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        self._tail_start = None

    def link(self, references: References, palette: Palette) -> None:
        """Write everything again where `references` make links of it. There is no tail."""
        blocks = [linked(block, references) for block in self._blocks]
        if all(ours is theirs for ours, theirs in zip(blocks, self._blocks, strict=True)):
            return
        self._blocks = blocks
        self.document().clear()
        DocumentWriter(self.document(), palette).write(blocks)
