"""Where files become questions: it connects drops, the composer's chips, prompt forms and the queue."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QLabel, QMessageBox

from app.chat import ChatViewModel
from app.engine.client import EngineClient
from app.engine.pages.batch.client import BatchClient
from app.engine.pages.batch.records import Batch
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.engine.request import ChatMessage
from app.engine.token_counter import TokenCount, TokenCounter
from app.look.widgets.drop_target import DropTarget
from app.prompts import (
    AttachmentsViewModel,
    ContextViewModel,
    QueueViewModel,
    format_size,
    next_messages,
    settings_of,
)
from app.prompts.views import PromptForm, QueueWindow, TextDialog, file_dialog
from app.window.frame import MainWindow
from prompt_files import PromptFile, is_prompt_file
from prompt_files.folder import MAX_FILES, FolderListing

UNCHECKED_CHARS = 2000  # so short a question is sent without asking the engine how long it is


class PromptsController(QObject):
    """Belongs to a window. Dialogs are shown, never waited for, so that nothing stands still behind them."""

    def __init__(self, window: MainWindow, engine: EngineProcess, chat: ChatViewModel) -> None:
        super().__init__(window)
        self._window, self._engine, self._chat, self._composer = window, engine, chat, window.composer
        self.dialog: QDialog | None = None
        self.counter = TokenCounter(self)
        self.attachments = AttachmentsViewModel(self.counter, self)
        self.context = ContextViewModel(self.counter, self._messages, self)
        self.queue = QueueViewModel(self._make_client, self._model, lambda: chat.settings, self)
        self._queue_window: QueueWindow | None = None
        self._batch = BatchClient(self)
        for asker in (self.counter, self._batch):
            engine.connect_client(asker)
        self._connect(DropTarget(window))
        self._add_commands()

    @property
    def queue_window(self) -> QueueWindow:
        """The queue's window, made when it is first wanted."""
        if self._queue_window is None:
            self._queue_window = QueueWindow(self.queue, self._window)
        return self._queue_window

    def choose_files(self) -> None:
        """Ask for files with the system's dialog."""
        names, _ = QFileDialog.getOpenFileNames(self._window, self.tr("Attach Files"))
        if names:
            self.attachments.add_paths([Path(name) for name in names])

    def show_queue(self) -> None:
        """Open the queue's window, or bring it to the front."""
        self.queue_window.show()
        self.queue_window.raise_()

    def close(self) -> None:
        """Stop reading and running: the window closes."""
        self.attachments.close()
        self.queue.stop()

    def _make_client(self) -> EngineClient:
        client = EngineClient(self)
        self._engine.connect_client(client)
        return client

    def _on_engine_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self._batch.fetch()

    def _on_batch(self, batch: Batch | None) -> None:
        """As many files run at once as the engine answers at once; an engine that tells nothing of it answers one."""
        self.queue.set_width(1 if batch is None else batch.max_batch)

    def _connect(self, target: DropTarget) -> None:
        composer, attachments, chat = self._composer, self.attachments, self._chat
        target.hovered.connect(lambda is_over: composer.mark("dropping", is_over))
        target.dropped.connect(attachments.add_paths)
        composer.gate = self._check_length
        composer.attach_chosen.connect(self.choose_files)
        composer.field.paths_given.connect(attachments.add_paths)
        composer.field.long_text_pasted.connect(attachments.add_paste)
        composer.text_changed.connect(self.context.refresh)
        composer.cleared.connect(attachments.clear)
        composer.chips.removed.connect(attachments.remove)
        composer.chips.opened.connect(self._look_inside)
        attachments.changed.connect(lambda: composer.show_files(attachments.files))
        attachments.reading_progressed.connect(composer.show_reading)
        attachments.problem_raised.connect(composer.problem_raised)
        attachments.prompts_dropped.connect(self.open_form)
        attachments.folder_dropped.connect(self._confirm_folder)
        self.context.changed.connect(lambda: composer.show_count(self.context.count))
        self.context.prompt_shown.connect(self._show_prompt)
        self.context.prompt_refused.connect(
            lambda why: self._tell(Problem(self.tr("The prompt cannot be shown."), why))
        )
        self._batch.told.connect(self._on_batch)
        self._engine.state_changed.connect(self._on_engine_state)
        self._on_engine_state(self._engine.state)  # this window may have come later than the engine
        chat.state_changed.connect(self.queue.on_engine_changed)
        chat.state_changed.connect(self.context.refresh)
        chat.chat_opened.connect(self._on_chat_opened)
        self._window.closing.connect(self.close)

    def _on_chat_opened(self) -> None:
        self._composer.field.history.begin_with([turn.question for turn in self._chat.conversation.turns])
        self.context.refresh()

    def _add_commands(self) -> None:
        menus = self._window.menus
        menus.add(
            menus.chat,
            None,
            ("attach", self.tr("Attach Files…"), "Ctrl+O", self.choose_files),
            ("show-prompt", self.tr("Show What the Model Sees"), "Ctrl+Shift+M", self.context.show_prompt),
            ("queue", self.tr("Prompt Queue"), "Ctrl+Alt+Q", self.show_queue),
        )

    def _model(self) -> str:
        """What the engine serves, empty while it is not ready."""
        return self._chat.model if self._engine.state is EngineState.READY else ""

    def _messages(self) -> Sequence[ChatMessage]:
        chat = self._chat
        earlier = chat.conversation.messages()
        return next_messages(chat.settings.system, earlier, self._composer.text, self._composer.parts)

    def _tell(self, problem: Problem) -> None:
        self._composer.problem_raised.emit(problem)

    def _open(self, dialog: QDialog) -> None:
        self.dialog = dialog
        dialog.finished.connect(lambda: self._forget(dialog))
        dialog.open()

    def _forget(self, dialog: QDialog) -> None:
        if self.dialog is dialog:
            self.dialog = None

    def _look_inside(self, key: int) -> None:
        file = next(file for file in self.attachments.files if file.key == key)
        self._open(file_dialog(file, self._window))

    def _show_prompt(self, count: TokenCount) -> None:
        figures = f"{count.num_tokens:,}"
        if count.context_length is not None:
            figures = self.tr("{0} tokens of {1:,}").format(figures, count.context_length)
        else:
            figures = self.tr("{0} tokens").format(figures)
        about = self.tr("{0}. Special tokens are written out.").format(figures)
        about += f" {count.note}" if count.note else ""
        self._open(TextDialog(self.tr("What the model sees"), about, count.prompt or "", self._window))

    def open_form(self, prompts: Sequence[PromptFile]) -> None:
        """Ask for the values of prompt files, and run them: one as a new chat, several in the queue."""
        asked = {prompt.settings.pair for prompt in prompts} - {None, self._chat.model}
        served = self._chat.model or self.tr("none yet")
        remark = self.tr("Asks for the pair {0}; this engine serves {1}.").format(
            ", ".join(sorted(filter(None, asked))), served
        )
        form = PromptForm(prompts, self._window.theme.palette, remark if asked else "", self._window)
        form.run_chosen.connect(lambda values: self._run(form, values))
        self._open(form)

    def _run(self, form: PromptForm, values: dict[str, str]) -> None:
        if len(form.prompts) > 1:
            form.accept()
            self.show_queue()
            self.queue.add(form.prompts, values)
            return
        if not self._chat.is_served:
            form.show_remark(self.tr("The engine is not ready yet."))
            return
        form.accept()
        (prompt,) = form.prompts
        text, system = prompt.filled(values)
        self._chat.start_over()
        self._chat.settings = settings_of(prompt, self._chat.settings, system)
        self._chat.send(text)

    def _confirm_folder(self, listing: FolderListing) -> None:
        name, num_files = listing.folder.name, len(listing.files)
        if not listing.is_whole:
            advice = self.tr("Choose a smaller folder, or the files in it.")
            self._tell(Problem(self.tr("“{0}” holds more than {1:,} files.").format(name, MAX_FILES), advice))
        elif not listing.files:
            self._tell(Problem(self.tr("“{0}” is empty.").format(name), self.tr("Hidden files are left out.")))
        else:
            num_prompts = sum(is_prompt_file(path) for path in listing.files)
            files = self.tr("{0} file").format(num_files) + ("s" if num_files > 1 else "")
            kinds = self.tr(" {0} of them are prompt files and would run.").format(num_prompts) if num_prompts else ""
            box = self._question(
                self.tr("Take the {0} in “{1}”, {2} together?").format(files, name, format_size(listing.size_bytes)),
                self.tr("Folders inside are included, hidden files are left out.{0}").format(kinds),
            )
            self._offer(box, self.tr("Take Them"), lambda: self.attachments.add_paths(listing.files))
            self._open(box)

    def _check_length(self, send: Callable[[], None]) -> None:
        """Send at once what is surely short; else count first, and ask where it does not fit."""
        composer = self._composer
        if len(composer.text) + sum(len(part.text) for part in composer.parts) < UNCHECKED_CHARS:
            send()
        else:
            self.context.when_counted(lambda count: self._decide(count, send))

    def _decide(self, count: TokenCount | None, send: Callable[[], None]) -> None:
        if count is None or count.context_length is None or count.over < 0:
            send()  # what the engine could not count it will judge itself
            return
        needs = self.tr("The prompt needs {0:,} tokens; the model's context holds {1:,}.").format(
            count.num_tokens, count.context_length
        )
        reserve = min(self._chat.settings.max_tokens, count.context_length // 4)
        files = [file for file in self.attachments.files if file.num_tokens]
        largest = max(files, key=lambda file: file.num_tokens or 0, default=None)
        left = (largest.num_tokens or 0) - count.over - reserve if largest else 0
        if largest is None or left <= 0:
            self._tell(Problem(needs, self.tr("Shorten it, remove a file, or begin a new chat. Nothing was sent.")))
            return
        box = self._question(
            needs,
            self.tr("The largest file, “{0}”, has {1:,}. Nothing was sent yet.").format(
                largest.name, largest.num_tokens
            ),
        )
        self._offer(
            box,
            self.tr("Keep Its First {0:,} Tokens").format(left),
            lambda: self.attachments.shorten(largest.key, left),
        )
        self._offer(box, self.tr("Remove It"), lambda: self.attachments.remove(largest.key))
        self._open(box)

    def _question(self, text: str, more: str) -> QMessageBox:
        box = QMessageBox(QMessageBox.Icon.NoIcon, "Lookahead", text, QMessageBox.StandardButton.Cancel, self._window)
        box.setInformativeText(more)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        for label in box.findChildren(QLabel):  # a file's name may look like markup
            label.setTextFormat(Qt.TextFormat.PlainText)
        return box

    def _offer(self, box: QMessageBox, name: str, then: Callable[[], object]) -> None:
        button = box.addButton(name, QMessageBox.ButtonRole.AcceptRole)
        button.clicked.connect(lambda: then())
