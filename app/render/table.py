"""Writes a markdown table at a cursor."""

from collections.abc import Sequence

from markdown_it.token import Token
from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextFrameFormat,
    QTextLength,
    QTextTableFormat,
)

from app.look.theme import Palette
from app.look.typography import BODY_PX, body_font
from app.render.inline import InlineWriter

_ALIGNMENTS = {"text-align:right": Qt.AlignmentFlag.AlignRight, "text-align:center": Qt.AlignmentFlag.AlignHCenter}


def write_table(
    cursor: QTextCursor, tokens: Sequence[Token], palette: Palette, *, left: float, goes_on: bool, has_head: bool
) -> None:
    """Insert the table and leave the cursor behind it. Its first row is the header, which may be left out: then it is
    the rest of one. `goes_on`: the rest of it will be another. It begins `left` pixels from the edge.

    All parts of a long table have columns of one width, as they cannot know of each other's words.
    """
    rows: list[list[tuple[Token, Token]]] = []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append((token, tokens[index + 1]))
    num_columns = max(map(len, rows))
    rows = rows if has_head else rows[1:]
    if not rows:
        return
    table_format = _table_format(palette)
    table_format.setHeaderRowCount(int(has_head))
    if goes_on or not has_head:
        share = QTextLength(QTextLength.Type.PercentageLength, 100 / num_columns)
        table_format.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
        table_format.setColumnWidthConstraints([share] * num_columns)
    table_format.setLeftMargin(left)
    if goes_on:
        table_format.setBottomMargin(0)
    table = cursor.insertTable(len(rows), num_columns, table_format)
    styles = [_char_format(palette, is_header=is_header) for is_header in (False, True)]
    for row, cells in enumerate(rows):
        style = styles[has_head and row == 0]
        for column, (opening, inline) in enumerate(cells):
            at = table.cellAt(row, column).firstCursorPosition()
            block_format = QTextBlockFormat()
            block_format.setAlignment(_ALIGNMENTS.get(str(opening.attrs.get("style", "")), Qt.AlignmentFlag.AlignLeft))
            at.setBlockFormat(block_format)
            InlineWriter(at, palette, style).write(inline.children or ())
    cursor.movePosition(QTextCursor.MoveOperation.End)


def _table_format(palette: Palette) -> QTextTableFormat:
    table_format = QTextTableFormat()
    table_format.setCellPadding(7)
    table_format.setCellSpacing(0)
    table_format.setBorder(1)
    table_format.setBorderCollapse(True)
    table_format.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    table_format.setBorderBrush(QColor(palette.border))
    table_format.setBottomMargin(10)
    return table_format


def _char_format(palette: Palette, *, is_header: bool) -> QTextCharFormat:
    char_format = QTextCharFormat()
    font = body_font(BODY_PX - 1)
    if is_header:
        font.setWeight(QFont.Weight.DemiBold)
    char_format.setFont(font)
    char_format.setForeground(QColor(palette.text))
    return char_format
