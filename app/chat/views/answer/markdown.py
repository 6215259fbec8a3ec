"""An answer's markdown as it streams: closed blocks are written once, the open ones again and again while short."""

from typing import TypeVar

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.chat.views.answer.code_block import CodeBlock
from app.chat.views.answer.text_segment import TextSegment
from app.look.theme import Palette
from app.render.markdown import Block
from app.render.stream import NO_CUT, split_closed

_Segment = TypeVar("_Segment", TextSegment, CodeBlock)


class MarkdownView(QWidget):
    """A column of text segments and code blocks."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segments: list[TextSegment | CodeBlock] = []
        self._spare: list[TextSegment | CodeBlock] = []
        self._num_closed_segments = 0
        self._num_closed_chars = 0
        self._cut = NO_CUT
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(10)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        return [widget for segment in self._segments for widget in segment.focus_chain]

    def clear(self) -> None:
        """Forget everything."""
        self._spare, self._segments = self._segments, []
        self._remove_spare()
        self._num_closed_segments = self._num_closed_chars = 0
        self._cut = NO_CUT

    def show_text(self, text: str, palette: Palette, *, is_final: bool) -> None:
        """Show `text`, which begins with what was shown before. After the final call no block is open."""
        split = split_closed(text[self._num_closed_chars :], self._cut, is_final=is_final)
        self._take_tail()
        if split.cut.references != self._cut.references:
            for segment in self._segments:
                if isinstance(segment, TextSegment):
                    segment.link(split.cut.references, palette)
        self._num_closed_chars, self._cut = self._num_closed_chars + split.num_chars, split.cut
        for block in split.closed:
            self._append(block, palette, is_tail=False)
        self._num_closed_segments = len(self._segments)
        for block in split.tail:
            self._append(block, palette, is_tail=True)
        self._remove_spare()

    def _take_tail(self) -> None:
        """Take the open blocks off. Segments that held nothing else stay, to be filled again: they would flicker."""
        self._spare = self._segments[self._num_closed_segments :]
        del self._segments[self._num_closed_segments :]
        for segment in (*self._segments[-1:], *self._spare):
            if isinstance(segment, TextSegment):
                segment.drop_tail()

    def _append(self, block: Block, palette: Palette, *, is_tail: bool) -> None:
        """Write one block, into the last segment where that goes on with it."""
        last = self._segments[-1] if self._segments else None
        if block.is_code:
            code = last if block.continues and isinstance(last, CodeBlock) else self._next(CodeBlock)
            code.set_code(block.tokens[0].content, block.language, palette)
            if block.goes_on:
                code.keep()
        else:
            text = last if isinstance(last, TextSegment) else self._next(TextSegment)
            text.append_block(block, palette, is_tail=is_tail)

    def _next(self, kind: type[_Segment]) -> _Segment:
        """A segment behind the others: the next spare one where it is of that kind."""
        if self._spare and isinstance(self._spare[0], kind):
            segment = self._spare.pop(0)
        else:
            segment = kind()
            self._layout.insertWidget(len(self._segments), segment)
        self._segments.append(segment)
        return segment

    def _remove_spare(self) -> None:
        for segment in self._spare:
            self._layout.removeWidget(segment)
            segment.hide()
            segment.deleteLater()
        self._spare = []
