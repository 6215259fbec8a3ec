"""What is attached to the question that is being written, how large it is, and whether it fits."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Signal

from app.engine.problem import Problem
from app.engine.token_counter import TokenCount, TokenCounter
from app.prompts.attached_file import AttachedFile, attached, pasted
from app.prompts.reader import Drop, FileReader
from app.store import Attachment
from prompt_files import PromptFilesError


class AttachmentsViewModel(QObject):
    """Takes files and long pastes, has them read and counted, and gives them up when the question is sent.

    Signals:
        changed: the files are others, or one of them was counted.
        reading_progressed: how many files of how many are read.
        problem_raised: a Problem about files that were left out; the others are there.
        prompts_dropped: the list of PromptFiles among the files; they run, and are not attached.
        folder_dropped: the FolderListing of a folder; `add_paths` its files where the person wants that.
    """

    changed = Signal()
    reading_progressed = Signal(int, int)
    problem_raised = Signal(object)
    prompts_dropped = Signal(object)
    folder_dropped = Signal(object)

    def __init__(self, counter: TokenCounter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.files: tuple[AttachedFile, ...] = ()
        self._counter = counter
        self._num_pasted = 0
        self._reader = FileReader(self)
        self._reader.finished.connect(self._on_drop)
        self._reader.progressed.connect(self.reading_progressed)
        counter.counted.connect(self._on_counted)

    @property
    def is_reading(self) -> bool:
        """Whether files are being read."""
        return self._reader.num_waiting > 0

    def parts(self) -> tuple[Attachment, ...]:
        """What is sent with the question."""
        return tuple(file.part for file in self.files)

    def add_paths(self, paths: Iterable[Path]) -> None:
        """Read files and attach them."""
        self._reader.read(paths)

    def add_paste(self, text: str) -> None:
        """Attach a long paste."""
        self._num_pasted += 1
        self._add([pasted(text, self._num_pasted)])

    def remove(self, key: int) -> None:
        """Take one away."""
        self._set(file for file in self.files if file.key != key)

    def shorten(self, key: int, num_tokens: int) -> None:
        """Take the end off a file so that about `num_tokens` are left. The person was asked."""
        for file in self.files:
            if file.key == key and file.num_tokens:
                # A little less than the share: tokens are not spread evenly over a text.
                cut = file.shortened(int(len(file.text) * max(0, num_tokens) / file.num_tokens * 0.97))
                self._set(cut if other.key == key else other for other in self.files)
                self._counter.count_text(("file", key), cut.text)

    def clear(self) -> None:
        """Nothing is attached any more."""
        self._num_pasted = 0
        self._set(())

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _add(self, files: list[AttachedFile]) -> None:
        self._set((*self.files, *files))
        for file in files:
            self._counter.count_text(("file", file.key), file.text)

    def _set(self, files: Iterable[AttachedFile]) -> None:
        self.files = tuple(files)
        self.changed.emit()

    def _on_drop(self, drop: Drop) -> None:
        there = {file.path for file in self.files if file.path}
        new = [attached(document) for document in drop.documents if document.path not in there]
        if new:
            self._add(new)
        if drop.errors:
            self.problem_raised.emit(explain(drop.errors, len(drop.documents) + len(drop.prompts)))
        for listing in drop.folders:
            self.folder_dropped.emit(listing)
        if drop.prompts:
            self.prompts_dropped.emit(drop.prompts)

    def _on_counted(self, key: object, count: TokenCount) -> None:
        match key:
            case ("file", number) if any(file.key == number for file in self.files):
                files = (replace(f, num_tokens=count.num_tokens) if f.key == number else f for f in self.files)
                self._set(files)


def explain(errors: list[PromptFilesError], num_taken: int) -> Problem:
    """The errors of one drop as one problem: a sentence each."""
    details = "\n".join(error.details for error in errors if error.details)
    if len(errors) == 1:
        return Problem(str(errors[0]), details=details)
    others = (
        QCoreApplication.translate("Attachments", " The other {0} were taken.").format(num_taken) if num_taken else ""
    )
    sentences = "\n".join(str(error) for error in errors)
    return Problem(
        QCoreApplication.translate("Attachments", "{0} files were left out.{1}").format(len(errors), others),
        details=sentences,
    )
