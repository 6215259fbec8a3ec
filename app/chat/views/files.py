"""Writes chats into files, reads them back, and prints the open one."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QTextDocument
from PySide6.QtPrintSupport import QPrintDialog, QPrinter
from PySide6.QtWidgets import QFileDialog, QWidget

from app.chat.list import ChatListViewModel
from app.chat.shown import ChatViewModel
from app.engine.problem import Problem
from app.look.theme import LIGHT
from app.render.document_writer import DocumentWriter
from app.render.markdown import parse
from app.store import FORMS, StoreError, export_chats, import_chats

translate = QCoreApplication.translate

IMPORT_LIMIT_BYTES = 512 * 1024 * 1024


class ChatFiles:
    """The file dialogs of a window, which is `parent`. `tell` gets a Problem for each file that cannot be used."""

    def __init__(
        self, chat: ChatViewModel, chats: ChatListViewModel, tell: Callable[[Problem], object], parent: QWidget
    ) -> None:
        self._chat, self._chats, self._tell, self._parent = chat, chats, tell, parent

    def export(self, chat_ids: tuple[int, ...]) -> None:
        """Ask where to, and write these chats, or all for none; the name's end says in which form."""
        name = "".join(c if c.isalnum() or c in " -_" else "_" for c in self._chat.title) if chat_ids else "Chats"
        forms = ";;".join(
            (
                translate("ChatFiles", "Markdown (*.md)"),
                translate("ChatFiles", "Text (*.txt)"),
                translate("ChatFiles", "JSON, to be imported again (*.json)"),
            )
        )
        place, chosen = QFileDialog.getSaveFileName(
            self._parent, translate("ChatFiles", "Export"), f"{name or 'Chat'}.md", forms
        )
        if place:
            path = Path(place)
            if path.suffix.lower() not in FORMS:
                path = path.with_name(path.name + chosen[chosen.rindex("*") + 1 : -1])
            self.write(path, chat_ids)

    def write(self, path: Path, chat_ids: tuple[int, ...]) -> None:
        """Write chats into `path`."""
        self._chat.recorder.catch_up()
        try:
            text = export_chats(self._chat.store, chat_ids, FORMS[path.suffix.lower()])
            path.write_text(text, encoding="utf-8")
        except (OSError, StoreError) as error:
            told = translate("ChatFiles", "The chats could not be exported to “{0}”.").format(path.name)
            self._tell(Problem(told, translate("ChatFiles", "Choose another place."), str(error)))

    def load(self) -> None:
        """Ask for a file, and add its chats."""
        place, _ = QFileDialog.getOpenFileName(
            self._parent, translate("ChatFiles", "Import Chats"), "", translate("ChatFiles", "Exported chats (*.json)")
        )
        if place:
            self.read(Path(place))

    def read(self, path: Path) -> None:
        """Add the chats of `path`, and open the first."""
        told = translate("ChatFiles", "“{0}” could not be imported.").format(path.name)
        try:
            if path.stat().st_size > IMPORT_LIMIT_BYTES:
                self._tell(Problem(told, translate("ChatFiles", "It has more than 512 MB.")))
                return
            added = import_chats(self._chat.store, path.read_text(encoding="utf-8"))
        except (OSError, ValueError, StoreError) as error:
            advice = str(error) if isinstance(error, ValueError) and not isinstance(error, UnicodeError) else ""
            self._tell(Problem(told, advice, str(error) if not advice else ""))
            return
        self._chats.changed.emit()
        if added:
            self._chat.open_chat(added[0].id)

    def print(self) -> None:
        """Ask how, and print the open chat."""
        printer = QPrinter(QPrinter.PrinterMode.HighResolution)
        if QPrintDialog(printer, self._parent).exec():
            self.document().print_(printer)

    def document(self) -> QTextDocument:
        """The open chat as it is printed: dark on white, whatever the window's palette."""
        document = QTextDocument()
        source = "\n\n".join(
            f"### You\n\n{turn.question}\n\n### {turn.answer.model or 'Answer'}\n\n{turn.answer.text}"
            for turn in self._chat.conversation.turns
        )
        blocks = parse(f"# {self._chat.title}\n\n{source}")
        DocumentWriter(document, LIGHT).write(blocks)
        return document
