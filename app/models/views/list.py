"""The list of models: known pairs, what is installed, what the Hub has, each under its heading."""

import time
from collections.abc import Iterator

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from app.engine.model_records import FoundModel, InstalledModel, ModelGroup, Pair
from app.look.theme import Palette
from app.models.choice import BUILT_IN, Choice, Entry, choice_of
from app.models.library import ModelsViewModel
from app.models.sizes import format_bytes
from app.models.views.item import ENTRY, ModelDelegate
from app.models.views.words import used_words

translate = QCoreApplication.translate


def found_entries(models: ModelsViewModel) -> Iterator[Entry]:
    """What a search found."""
    findings = models.findings
    if findings is None:
        return
    if findings.pairs:
        yield Entry(translate("ModelList", "Pairs: a target with a draft that fits it"))
        yield from (_pair_entry(pair, models) for pair in findings.pairs)
    if findings.installed:
        yield Entry(translate("ModelList", "Installed"))
        yield from (installed_entry(model) for model in findings.installed)
    if findings.available:
        yield Entry(translate("ModelList", "To download from the Hub"))
        yield from (_group_entry(group, models) for group in findings.available)
    if findings.near:
        yield Entry(translate("ModelList", "Nothing is called that. Was one of these meant?"))
        yield from (Entry(name, translate("ModelList", "On the Hub"), "", Choice(name)) for name in findings.near)


def installed_entries(models: ModelsViewModel, text: str) -> Iterator[Entry]:
    """What is installed and has all words of `text` in its name, the largest first."""
    words = text.lower().split()
    found = [one for one in models.stock.models if all(word in one.name.lower() for word in words)]
    yield from (installed_entry(one) for one in sorted(found, key=lambda one: -one.size_bytes))


def _pair_entry(pair: Pair, models: ModelsViewModel) -> Entry:
    choice = choice_of(pair)
    here = sum(name in models.usable for name in choice.names)
    mark = "" if here == 0 else translate("ModelList", "half installed")
    if here == len(choice.names):
        mark = (
            translate("ModelList", "comes with Lookahead")
            if pair.name == BUILT_IN
            else translate("ModelList", "installed")
        )
    return Entry(pair.name, pair.note, mark, choice, pair=pair)


def installed_entry(model: InstalledModel) -> Entry:
    """The line of an installed model."""
    used = used_words(model.last_used_s, time.time())
    detail = translate("ModelList", "imported, {}").format(used) if is_imported(model) else used
    detail = detail if model.usable else translate("ModelList", "✕ cannot be used")
    return Entry(model.name, detail, format_bytes(model.size_bytes), Choice(name_to_load(model)), model=model)


def _group_entry(group: ModelGroup, models: ModelsViewModel) -> Entry:
    variants = list(dict.fromkeys(one.variant or translate("ModelList", "unquantised") for one in group.models))
    owners = list(dict.fromkeys(one.repo_id.partition("/")[0] for one in group.models))
    more = translate("ModelList", " and {} more").format(len(owners) - 1) if len(owners) > 1 else ""
    detail = f"{', '.join(variants)} · {owners[0]}{more}"
    first = next((one for one in group.models if one.repo_id in models.usable), group.models[0])
    mark = (
        translate("ModelList", "installed")
        if first.repo_id in models.usable
        else translate("ModelList", "gated")
        if first.gated
        else ""
    )
    return Entry(group.base, detail, mark or _fetched(group.models), Choice(first.repo_id), group=group)


def _fetched(found: tuple[FoundModel, ...]) -> str:
    """How often people downloaded any of them."""
    count = sum(one.downloads for one in found)
    if count < 1000:
        return f"↓ {count}" if count else ""
    return f"↓ {count / 1000:,.0f}k" if count < 1_000_000 else f"↓ {count / 1e6:,.1f}M"


def is_imported(model: InstalledModel) -> bool:
    """Whether it came from a file, and not from the Hub."""
    return model.source == "imported"


def name_to_load(model: InstalledModel) -> str:
    """What the engine is told to load it: an imported one is found by its folder."""
    return model.folder if is_imported(model) else model.name


class ModelList(QListWidget):
    """Shows entries; headings cannot be chosen.

    Signals:
        entry_chosen: an Entry, by mouse or keyboard.
    """

    entry_chosen = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("modelList")
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setAccessibleName(self.tr("Models"))
        self._delegate = ModelDelegate(palette, self)
        self.setItemDelegate(self._delegate)
        self._shown: list[Entry] = []
        self.currentItemChanged.connect(self._on_current)

    @property
    def entries(self) -> list[Entry]:
        """What shows, headings included."""
        return list(self._shown)

    def show_entries(self, entries: list[Entry]) -> None:
        """Show these, and keep what was chosen and where the list was scrolled to."""
        if entries == self._shown:
            return
        chosen, place = self.current, self.verticalScrollBar().value()
        self.blockSignals(True)
        self.clear()
        for entry in entries:
            item = QListWidgetItem(entry.title)
            item.setData(ENTRY, entry)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join((entry.title, entry.detail, entry.mark)))
            item.setToolTip("\n".join(filter(None, (entry.title, entry.detail))) if entry.choice else "")
            if entry.choice is None:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.addItem(item)
            if chosen is not None and (entry.title, entry.choice) == (chosen.title, chosen.choice):
                self.setCurrentItem(item)
        self._shown = entries
        self.blockSignals(False)
        self.verticalScrollBar().setValue(place)

    @property
    def current(self) -> Entry | None:
        """The chosen entry."""
        item = self.currentItem()
        return item.data(ENTRY) if item is not None else None

    def choose(self, title: str) -> None:
        """Choose the first entry of that name."""
        row = next(i for i, entry in enumerate(self._shown) if entry.choice and entry.title == title)
        self.setCurrentRow(row)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._delegate.apply_palette(palette)
        self.doItemsLayout()

    def _on_current(self, item: QListWidgetItem | None) -> None:
        if item is not None and item.data(ENTRY).choice is not None:
            self.entry_chosen.emit(item.data(ENTRY))
