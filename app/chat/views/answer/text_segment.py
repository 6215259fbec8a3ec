"""A run of markdown blocks other than code, in one document, so that a selection can span them."""

from dataclasses import dataclass

from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.look.widgets.flow_text import FlowText
from app.render.document_writer import DocumentWriter
from app.render.markdown import Block, References, linked


@dataclass(frozen=True, slots=True)
class _Tail:
    """Where the tail begins, and what the block was like behind which, or in which, it was written."""

    start: int
    block_format: QTextBlockFormat
    char_format: QTextCharFormat
    state: int

    @classmethod
    def behind(cls, document: QTextDocument) -> "_Tail":
        last = document.lastBlock()
        return cls(document.characterCount() - 1, last.blockFormat(), last.charFormat(), last.userState())

    def remove_from(self, document: QTextDocument) -> None:
        """Leave the document as it was: Qt keeps the format of one block or the other where two become one."""
        cursor = QTextCursor(document)
        cursor.setPosition(self.start)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        cursor.setBlockFormat(self.block_format)
        cursor.setBlockCharFormat(self.char_format)
        document.lastBlock().setUserState(self.state)


class TextSegment(FlowText):
    """Blocks are appended once; only a tail, the blocks still growing, is taken off and written again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Answer text"))
        self._blocks: list[Block] = []
        self._tail: _Tail | None = None

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self]

    def append_block(self, block: Block, palette: Palette, *, is_tail: bool = False) -> None:
        """Write a block at the end; what is written as tail can be dropped again."""
        if not is_tail:
            self._blocks.append(block)
        elif self._tail is None:
            self._tail = _Tail.behind(self.document())
        DocumentWriter(self.document(), palette).write([block])

    def drop_tail(self) -> None:
        """Take off the tail, if there is one."""
        if self._tail is not None:
            self._tail.remove_from(self.document())
            self._tail = None

    def link(self, references: References, palette: Palette) -> None:
        """Write everything again where `references` make links of it. There is no tail."""
        blocks = [linked(block, references) for block in self._blocks]
        if all(ours is theirs for ours, theirs in zip(blocks, self._blocks, strict=True)):
            return
        self._blocks = blocks
        self.document().clear()
        DocumentWriter(self.document(), palette).write(blocks)
