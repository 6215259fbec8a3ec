"""An answer's markdown, written as it streams: closed blocks once, the open one again and again, while it is short."""

from typing import TypeVar

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.render.markdown import NO_CUT, Block, split_closed
from app.theme import Palette
from app.views.code_block import CodeBlock
from app.views.text_segment import TextSegment

_Segment = TypeVar("_Segment", TextSegment, CodeBlock)


class MarkdownView(QWidget):
    """A column of text segments and code blocks."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segments: list[TextSegment | CodeBlock] = []
        self._num_closed_chars = 0
        self._cut = NO_CUT
        self._tail: TextSegment | CodeBlock | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(10)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        return [widget for segment in self._segments for widget in segment.focus_chain]

    def clear(self) -> None:
        """Forget everything."""
        for segment in list(self._segments):
            self._remove(segment)
        self._num_closed_chars, self._cut, self._tail = 0, NO_CUT, None

    def show_text(self, text: str, palette: Palette, *, is_final: bool) -> None:
        """Show `text`, which begins with what was shown before. After the final call no block is open."""
        split = split_closed(text[self._num_closed_chars :], self._cut)
        closed, tail = split.closed, split.tail
        self._num_closed_chars, self._cut = self._num_closed_chars + split.num_chars, split.cut
        if is_final and tail is not None:
            closed, tail = [*closed, tail], None
            self._num_closed_chars, self._cut = len(text), NO_CUT
        reusable = self._take_tail()
        for block in closed:
            self._append(block, palette, reusable, is_tail=False)
            reusable = None
        if tail is not None:
            self._append(tail, palette, reusable, is_tail=True)
        elif reusable is not None:
            self._remove(reusable)

    def _take_tail(self) -> TextSegment | CodeBlock | None:
        """Take the open block off. A segment that held nothing else stays, to be filled again: it would flicker."""
        tail, self._tail = self._tail, None
        if isinstance(tail, TextSegment):
            tail.drop_tail()
            return tail if tail.is_empty else None
        return tail

    def _append(
        self, block: Block, palette: Palette, reusable: TextSegment | CodeBlock | None, *, is_tail: bool
    ) -> None:
        """Write one block, into the `reusable` segment where that is of its kind."""
        segment: TextSegment | CodeBlock
        if reusable is not None and isinstance(reusable, CodeBlock) is not block.is_code:
            self._remove(reusable)
            reusable = None
        last = self._segments[-1] if self._segments else None
        if block.is_code:
            begun = last if block.continues and isinstance(last, CodeBlock) else None
            segment = reusable if isinstance(reusable, CodeBlock) else begun or self._add(CodeBlock())
            segment.set_code(block.tokens[0].content, block.language, palette)
            if block.goes_on:
                segment.keep()
        else:
            segment = last if isinstance(last, TextSegment) else self._add(TextSegment())
            segment.append_blocks([block], palette, is_tail=is_tail)
        if is_tail:
            self._tail = segment

    def _add(self, segment: _Segment) -> _Segment:
        self._segments.append(segment)
        self._layout.addWidget(segment)
        return segment

    def _remove(self, segment: TextSegment | CodeBlock) -> None:
        self._segments.remove(segment)
        self._layout.removeWidget(segment)
        segment.hide()
        segment.deleteLater()
