"""PySide6 6.12.0 on Python 3.11 lost a reference to None with every void call and aborted after some 5,000."""

import sys

from PySide6.QtCore import QObject
from PySide6.QtGui import QTextCursor, QTextDocument
from pytestqt.qtbot import QtBot

NUM_CALLS = 5_000


def test_none_keeps_its_references(qtbot: QtBot) -> None:
    thing, document = QObject(), QTextDocument()
    cursor = QTextCursor(document)
    before = sys.getrefcount(None)
    for _ in range(NUM_CALLS):
        thing.setObjectName("x")
        cursor.insertText("")
    assert sys.getrefcount(None) - before > -NUM_CALLS // 10
