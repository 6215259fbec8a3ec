"""Writes markdown blocks into a QTextDocument, at its end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token
from PySide6.QtGui import (
    QColor,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextLength,
    QTextList,
    QTextListFormat,
)

from app.look.theme import Palette
from app.look.typography import BODY_PX, LINE_PX, body_font, scaled
from app.render.inline import InlineWriter
from app.render.markdown import Block
from app.render.table import write_table

HEADING_PX = {"h1": 22, "h2": 19, "h3": 17}
MOST_ITEMS = 50  # of a Qt list, which counts its items anew for each it draws; a longer one goes on in another
PARAGRAPH_GAP_PX = 10
QUOTE_PX = 18
INDENT_PX = 38  # room for a number of three digits
DEEPEST_INDENT = 7  # deeper lists stand there too: a narrow window must leave their words room
WRITTEN = 1  # the state of a block that may be empty, but is not for others: Qt has one ready behind a table
_TICK = re.compile(r"\[([ xX])\] (?=\S)")
_AT_LEAST = QTextBlockFormat.LineHeightTypes.MinimumHeight.value


@dataclass(slots=True)
class _Level:
    """An open list: its Qt list, made with the first item, and how far it is indented."""

    style: QTextListFormat
    depth: int
    qt_list: QTextList | None = None
    is_item_begun: bool = field(default=False)


class DocumentWriter:
    """Appends blocks; the palette and the fonts are those of the time of writing."""

    def __init__(self, document: QTextDocument, palette: Palette) -> None:
        self._document = document
        document.setIndentWidth(scaled(INDENT_PX))
        self._palette = palette
        self._cursor = QTextCursor(document)
        self._levels: list[_Level] = []
        self._quotes = 0
        self._heading: str | None = None
        self._begun_list: QTextList | None = None
        self._goes_on = False

    def write(self, blocks: Sequence[Block]) -> None:
        """Append the blocks in one undo step and one repaint."""
        self._cursor.movePosition(QTextCursor.MoveOperation.End)
        self._cursor.beginEditBlock()
        for block in blocks:
            self._write_block(block)
        self._cursor.endEditBlock()

    def _write_block(self, block: Block) -> None:
        tokens, index = block.tokens, 0
        is_list = block.kind in ("bullet_list_open", "ordered_list_open")
        self._begun_list = self._last_list() if block.continues and is_list else None
        self._goes_on = block.goes_on and block.kind != "blockquote_open"  # that is cut where a block of it ends
        while index < len(tokens):
            token = tokens[index]
            if token.type == "table_open":
                end = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
                self._new_block(spacer=True)
                is_rest = block.continues and index == 0
                write_table(
                    self._cursor,
                    tokens[index:end],
                    self._palette,
                    left=self._document.indentWidth() * self._depth + QUOTE_PX * self._quotes,
                    goes_on=block.goes_on and index == 0,
                    has_head=not is_rest,
                )
                index = end
            else:
                self._write_token(token)
            index += 1

    def _write_token(self, token: Token) -> None:
        match token.type:
            case "paragraph_open":
                self._heading = None
                self._new_block()
            case "heading_open":
                self._heading = token.tag
                self._new_block()
            case "heading_close":
                self._heading = None
            case "inline":
                children = self._without_tick(token.children or ())
                InlineWriter(self._cursor, self._palette, self._char_format()).write(children)
            case "bullet_list_open" | "ordered_list_open":
                self._open_list(token)
            case "bullet_list_close" | "ordered_list_close":
                self._levels.pop()
                if not self._levels and not self._goes_on:
                    self._end_list()
            case "list_item_open":
                self._levels[-1].is_item_begun = False
            case "list_item_close" if not self._levels[-1].is_item_begun:
                self._new_block()  # an empty item counts
            case "blockquote_open":
                self._quotes += 1
            case "blockquote_close":
                self._quotes -= 1
            case "fence" | "code_block":
                self._write_code(token.content)
            case "math_block":
                self._new_block()
                InlineWriter(self._cursor, self._palette, self._char_format()).write_formula(token.content)
            case "hr":
                self._new_block(rule=True)

    def _without_tick(self, children: Sequence[Token]) -> Sequence[Token]:
        """What is left of an item's text behind `[ ]` or `[x]`, for which the item gets a box in place of its mark."""
        match = _TICK.match(children[0].content) if children and children[0].type == "text" else None
        if match is None or self._cursor.block().textList() is None:
            return children
        marks = QTextBlockFormat.MarkerType
        block_format = self._cursor.blockFormat()
        block_format.setMarker(marks.Unchecked if match[1] == " " else marks.Checked)
        self._cursor.setBlockFormat(block_format)
        return [children[0].copy(content=children[0].content[match.end() :]), *children[1:]]

    def _open_list(self, token: Token) -> None:
        if self._levels and not self._levels[-1].is_item_begun:
            self._new_block()  # for the mark of the item that begins with this list
        style = QTextListFormat()
        depth = min(len(self._levels) + 1, DEEPEST_INDENT)
        if token.type == "ordered_list_open":
            style.setStyle(QTextListFormat.Style.ListDecimal)
            style.setStart(int(token.attrs.get("start", 1)))
        else:
            is_odd = len(self._levels) % 2 == 0
            style.setStyle(QTextListFormat.Style.ListDisc if is_odd else QTextListFormat.Style.ListCircle)
        style.setIndent(depth)
        self._levels.append(_Level(style, depth, self._begun_list))
        self._begun_list = None

    def _end_list(self) -> None:
        """Keep what follows the list as far away as what follows a paragraph."""
        block_format = QTextBlockFormat()
        block_format.setBottomMargin(PARAGRAPH_GAP_PX)
        self._cursor.mergeBlockFormat(block_format)

    def _last_list(self) -> QTextList | None:
        """The outermost list that ends the document: what continues it counts on in it."""
        block = self._document.lastBlock()
        while block.isValid():
            if (found := block.textList()) is not None and found.format().indent() == 1:
                return found
            block = block.previous()
        return None

    def _new_block(self, *, rule: bool = False, spacer: bool = False) -> None:
        block_format, char_format = self._block_format(), self._char_format()
        if rule:
            width = QTextLength(QTextLength.Type.PercentageLength, 100)
            block_format.setProperty(QTextFormat.Property.BlockTrailingHorizontalRulerWidth, width)
        if spacer:  # Qt keeps a block before a table: make it a hair's breadth
            block_format.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
            block_format.setBottomMargin(0)
        if self._cursor.block().userState() != WRITTEN:
            self._cursor.setBlockFormat(block_format)
            self._cursor.setBlockCharFormat(char_format)
            self._cursor.setCharFormat(char_format)
        else:
            self._cursor.insertBlock(block_format, char_format)
        self._cursor.block().setUserState(WRITTEN)
        if self._levels and not self._levels[-1].is_item_begun:
            self._begin_item(self._levels[-1])

    @property
    def _depth(self) -> int:
        """How far the innermost open list is indented."""
        return self._levels[-1].depth if self._levels else 0

    def _begin_item(self, level: _Level) -> None:
        level.is_item_begun = True
        begun = level.qt_list
        if begun is not None and begun.count() < MOST_ITEMS:
            begun.add(self._cursor.block())
            return
        if begun is not None:
            level.style.setStart(begun.format().start() + begun.count())
        level.qt_list = self._cursor.createList(level.style)

    def _block_format(self) -> QTextBlockFormat:
        block_format = QTextBlockFormat()
        block_format.setLineHeight(scaled(LINE_PX), _AT_LEAST)
        block_format.setBottomMargin(PARAGRAPH_GAP_PX)
        if self._goes_on and not self._levels:
            block_format.setBottomMargin(0)  # the rest of the paragraph follows
        if self._heading:
            block_format.setTopMargin(10)
            block_format.setBottomMargin(6)
        if self._levels:
            block_format.setBottomMargin(4)
            if self._levels[-1].is_item_begun:
                block_format.setIndent(self._levels[-1].depth)
        if self._quotes:
            block_format.setLeftMargin(QUOTE_PX * self._quotes)
        return block_format

    def _char_format(self) -> QTextCharFormat:
        char_format = QTextCharFormat()
        font = body_font(HEADING_PX.get(self._heading or "", BODY_PX))
        if self._heading:
            font.setWeight(QFont.Weight.DemiBold)
        char_format.setFont(font)
        char_format.setForeground(QColor(self._palette.muted if self._quotes else self._palette.text))
        return char_format

    def _write_code(self, code: str) -> None:
        """Code inside a list or a quote; on the top level it has a widget of its own."""
        self._new_block()
        inline = InlineWriter(self._cursor, self._palette, self._char_format())
        inline.write_code("\u2028".join(code.rstrip("\n").split("\n")))
