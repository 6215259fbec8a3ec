"""Models to find, judge, fetch and keep, as the window shows them. All work is the engine's."""

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.download_records import Download, DownloadList
from app.engine.model_records import Findings, InstalledModel, Judgement, LoadedMemory, Pair, Refusal, Stock
from app.engine.models_client import ModelsClient
from app.models.choice import Choice, Entry, Estimate, estimate
from app.models.sizes import format_bytes

TYPING_MS = 350
_SILENT = (
    "judge",
    "drafts",
    "weigh",
    "memory",
    "place",
    "move",
    "mirror",
    "suggestions",
)  # what they refuse is told where it was asked for


class ModelsViewModel(QObject):
    """One for all windows; it asks nothing until `open` is called.

    Signals:
        found: the search's answer came, or why it did not.
        stock_changed: what is installed is known anew.
        downloads_changed: how the downloads stand.
        judged: something more is known of the choice.
        chosen: another choice.
        removal_weighed: (name, bytes that deleting it would free).
        told: a sentence about what was done, or why not.
    """

    found = Signal()
    stock_changed = Signal()
    downloads_changed = Signal()
    judged = Signal()
    chosen = Signal()
    removal_weighed = Signal(str, object)
    told = Signal(str)

    def __init__(self, client: ModelsClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = client
        self.query = ""
        self.findings: Findings | None = None
        self.refusal: Refusal | None = None
        """Why the last search brought nothing."""
        self.is_searching = False
        self.stock = Stock()
        self.downloads = DownloadList()
        self.entry = Entry("")
        self.choice: Choice | None = None
        self.judgements: dict[str, Judgement | Refusal] = {}
        self.drafts: dict[str, tuple[Pair, ...]] = {}
        self.memory: LoadedMemory | None = None
        self.verifying: set[str] = set()
        self._pending: set[str] = set()
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._search)
        client.answered.connect(self._on_answer)
        client.refused.connect(self._on_refusal)
        client.downloads_changed.connect(self._on_downloads)

    def open(self) -> None:
        """Ask for everything, anew where it was asked before; the engine may be another."""
        self.client.watch()
        self.judgements.clear()
        self.drafts.clear()
        self._pending.clear()
        self.client.fetch_installed()
        self.client.fetch_memory()
        self._search()
        self._ask_about_choice()

    def search(self, text: str, *, at_once: bool = False) -> None:
        """Look for `text`, when nothing more was written for a moment."""
        self.query = text.strip()
        if at_once:
            self._search()
        else:
            self._typing.start()

    def choose(self, entry: Entry, choice: Choice | None = None) -> None:
        """Look at a line of the list, with another quantisation or draft than the line's own where one is given."""
        self.entry = entry
        self.choice = choice or entry.choice
        self.client.fetch_memory()  # answers since then have made caches grow
        self._ask_about_choice()
        self.chosen.emit()

    def estimate(self) -> Estimate | None:
        """What the choice takes all together, None where nothing is chosen."""
        return estimate(self.choice, self.judgements, self.usable) if self.choice is not None else None

    @property
    def usable(self) -> set[str]:
        """The names of the installed models that can be loaded."""
        return {model.name for model in self.stock.models if model.usable}

    def installed(self, name: str) -> InstalledModel | None:
        """The installed model called `name`."""
        return next((model for model in self.stock.models if model.name == name), None)

    def is_asking(self, name: str) -> bool:
        """Whether the engine is still judging a model."""
        return name in self._pending

    def download(self) -> None:
        """Fetch what the choice lacks."""
        estimate = self.estimate()
        for name in estimate.missing if estimate else ():
            self.client.download(name)

    def verify(self, name: str) -> None:
        """Compare a model's bytes with its checksums; `told` tells what came of it."""
        self.verifying.add(name)
        self.client.verify(name)
        self.judged.emit()

    def refresh_stock(self) -> None:
        """Look anew what is installed."""
        self.client.fetch_installed()

    def download_of(self, name: str) -> Download | None:
        """The download of that model, where there is one."""
        return self.downloads.of(name)

    def _search(self) -> None:
        self._typing.stop()
        self.is_searching = True
        self.client.search(self.query)
        self.found.emit()

    def _ask_about_choice(self) -> None:
        choice = self.choice
        if choice is None:
            return
        for name in choice.names:
            if name not in self._pending and not isinstance(self.judgements.get(name), Judgement):
                self._pending.add(name)
                self.client.judge(name)
        if choice.target not in self.drafts:
            self.client.fetch_drafts(choice.target)

    def _on_answer(self, task: str, subject: str, value: object) -> None:
        match task, value:
            case "search", Findings():
                self._on_found(subject, value, None)
            case "installed", Stock():
                self.stock = value
                self.stock_changed.emit()
            case "judge", Judgement():
                self._on_judged(subject, value)
            case "drafts", tuple():
                self.drafts[subject] = value
                self.judged.emit()
            case "download", Download():
                self._take_downloads(self.downloads.with_one(value))
            case "downloads", DownloadList():
                self._on_downloads(value)
            case "verify", tuple():
                self._on_verified(subject, value)
            case "weigh", int():
                self.removal_weighed.emit(subject, value)
            case "remove", int():
                self._on_removed(subject, value)
            case "memory", LoadedMemory():
                self.memory = value
                self.judged.emit()
            case "token", bool():
                kept = self.tr("The token is kept in the keychain: try again what needed it.")
                self.told.emit(kept if value else self.tr("No token could be kept on this machine: set HF_TOKEN."))
                self._forget_judgements({*self.judgements, *self._pending})

    def _on_refusal(self, task: str, subject: str, refusal: Refusal) -> None:
        if task == "search":
            self._on_found(subject, None, refusal)
        elif task == "judge":
            self._on_judged(subject, refusal)
        elif task == "verify":
            self.verifying.discard(subject)
            self.judged.emit()
        if refusal.kind != "gone" and task not in ("search", *_SILENT):
            self.told.emit(refusal.message)

    def _on_found(self, subject: str, findings: Findings | None, refusal: Refusal | None) -> None:
        if subject != self.query:
            return  # the answer to what is no longer asked
        self.is_searching = False
        self.findings = findings if findings is not None else self.findings
        self.refusal = refusal
        self.found.emit()

    def _on_judged(self, name: str, value: Judgement | Refusal) -> None:
        self._pending.discard(name)
        self.judgements[name] = value
        self.judged.emit()

    def _on_downloads(self, told: DownloadList) -> None:
        self._take_downloads(self.downloads.with_all(told))

    def _take_downloads(self, later: DownloadList) -> None:
        before, self.downloads = self.downloads, later
        if ended := later.ended_since(before):
            self._forget_judgements(ended)
            self.client.fetch_installed()
        if later != before:
            self.downloads_changed.emit()

    def _on_verified(self, name: str, wrong: tuple[str, ...]) -> None:
        self.verifying.discard(name)
        right = self.tr("{}: every byte is as its checksums promise.").format(name)
        damaged = self.tr("{}: damaged in {}. Delete it and download it again.").format(name, ", ".join(wrong))
        self.told.emit(damaged if wrong else right)
        self.judged.emit()

    def _on_removed(self, name: str, freed_bytes: int) -> None:
        self.told.emit(self.tr("{} is deleted; {} are free again.").format(name, format_bytes(freed_bytes)))
        self._forget_judgements({name})
        self.client.fetch_installed()
        self._search()

    def _forget_judgements(self, names: set[str]) -> None:
        """What is still to be fetched of them is another number now, also of their other revisions: they share files.
        What is being judged was asked before, and is asked once more."""
        models = {name.partition("@")[0] for name in names}
        for name in {*self.judgements, *self._pending}:
            if name.partition("@")[0] in models:
                self.judgements.pop(name, None)
                self._pending.discard(name)
        self._ask_about_choice()
