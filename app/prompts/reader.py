"""Reads dropped files on a thread of its own, so that a slow disk or a long PDF does not hold the window."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from prompt_files import Document, PromptFile, PromptFilesError, is_prompt_file, read_document, read_prompt
from prompt_files.folder import FolderListing, list_folder


@dataclass(slots=True)
class Drop:
    """What several files dropped together brought, in the order in which they came."""

    documents: list[Document] = field(default_factory=list)
    prompts: list[PromptFile] = field(default_factory=list)
    folders: list[FolderListing] = field(default_factory=list)
    errors: list[PromptFilesError] = field(default_factory=list)


class FileReader(QObject):
    """Reads one drop after the other.

    Signals:
        progressed: how many files of how many are read.
        finished: a Drop, complete. Also where a file could not be read: the rest of the drop goes on.
    """

    progressed = Signal(int, int)
    finished = Signal(object)
    _read = Signal(object)  # from the reading thread

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._is_closed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="file-reader")
        self.num_waiting = 0
        self._read.connect(self._on_read)

    def read(self, paths: Iterable[Path]) -> None:
        """Read files; folders are only listed, so that the person can be asked before they are read."""
        self.num_waiting += 1
        self._pool.submit(self._run, tuple(paths))

    def close(self) -> None:
        """Read no more. A file under way ends unheard."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, paths: tuple[Path, ...]) -> None:
        drop = Drop()
        self._emit(self.progressed, 0, len(paths))
        for number, path in enumerate(paths, 1):
            if self._is_closed:
                return
            try:
                _read(path, drop, self._stopped)
            except PromptFilesError as error:
                drop.errors.append(error)
            self._emit(self.progressed, number, len(paths))
        self._emit(self._read, drop)

    def _emit(self, signal: Any, *values: object) -> None:
        try:
            if not self._is_closed:
                signal.emit(*values)
        except RuntimeError:  # the window went away in between
            self._is_closed = True

    def _stopped(self) -> bool:
        return self._is_closed

    def _on_read(self, drop: Drop) -> None:
        self.num_waiting -= 1
        self.finished.emit(drop)


def _read(path: Path, drop: Drop, should_stop: Callable[[], bool]) -> None:
    if path.is_dir():
        drop.folders.append(list_folder(path, should_stop))
    elif is_prompt_file(path):
        drop.prompts.append(read_prompt(path))
    else:
        drop.documents.append(read_document(path))
