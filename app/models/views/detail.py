"""What is known of the chosen model or pair, what it would take here, and what can be done with it."""

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.engine.model_records import Judgement, Pair, Refusal
from app.look.theme import Palette
from app.look.widgets.choice_box import ChoiceBox
from app.models.choice import BUILT_IN, Choice, choice_of
from app.models.library import ModelsViewModel
from app.models.views.drafts import DraftRows
from app.models.views.facts import FactSheet, facts_of
from app.models.views.fit import FitBar
from app.models.views.words import fetch_words, needs_token, refusal_words, room_words


class ModelDetail(QScrollArea):
    """Follows a ModelsViewModel's choice.

    Signals:
        use_chosen: a Choice, to be loaded.
        try_chosen: a Choice, to be raced.
        delete_chosen: the name of an installed model.
        token_wanted: the user has a token to enter.
    """

    use_chosen = Signal(object)
    try_chosen = Signal(object)
    delete_chosen = Signal(str)
    token_wanted = Signal()

    def __init__(self, models: ModelsViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models = models
        self.loaded = Choice("")
        self.measured = ""
        """The ratio of the last race with the choice, in words; empty where there was none."""
        self.is_racing = False
        self.title, self.note = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.variants = ChoiceBox(palette)
        self.hint = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self._about = QWidget()
        self.room, self.fit = QLabel(wordWrap=True), FitBar(palette)
        self.facts, self.drafts = FactSheet(), DraftRows()
        self.remark = QLabel(wordWrap=True, objectName="remark")
        self.buttons: dict[str, QPushButton] = {}
        self._build()
        for changed in (models.chosen, models.judged, models.stock_changed, models.downloads_changed):
            changed.connect(self.refresh)
        self.refresh()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.variants.apply_palette(palette)
        self.fit.apply_palette(palette)

    def show_loaded(self, loaded: Choice) -> None:
        """What the engine has loaded, or is loading."""
        self.loaded = loaded
        self.refresh()

    def show_measured(self, words: str) -> None:
        """What the last race with the choice brought."""
        self.measured = words
        self.refresh()

    def show_racing(self, is_racing: bool) -> None:
        """Whether a pair races now."""
        self.is_racing = is_racing
        self.refresh()

    def refresh(self) -> None:
        """Show all that is known now."""
        choice = self._models.choice
        self._about.setVisible(choice is not None)
        self.hint.setVisible(choice is None)
        if choice is None:
            return
        entry = self._models.entry
        self.title.setText(choice.pair or (entry.title if entry.group is None else choice.target))
        pair = entry.pair if choice == entry.choice else None
        self.note.setText("\n".join(filter(None, (pair.note, pair.published))) if pair else "")
        self.note.setVisible(bool(self.note.text()))
        self._show_variants(choice)
        self._show_estimate(choice)
        self._show_buttons(choice)
        self._show_remark(choice)
        pairs = [] if choice.pair == BUILT_IN else list(self._models.drafts.get(choice.target, ()))
        self.drafts.show_pairs(pairs, choice, self._models.usable)

    def _build(self) -> None:
        self.title.setProperty("role", "title")
        self.note.setProperty("role", "muted")
        self.room.setProperty("role", "figure")
        for label in (self.title, self.note, self.room, self.remark):
            label.setTextFormat(Qt.TextFormat.PlainText)  # names and notes may look like markup
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.variants.setMinimumContentsLength(12)
        self.variants.setSizeAdjustPolicy(ChoiceBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.variants.setAccessibleName(self.tr("Quantisation"))
        self.variants.activated.connect(self._on_variant)
        self.drafts.chosen.connect(self._on_draft)
        self.hint.setProperty("role", "muted")
        self.hint.setText(self.tr("Choose one to see what it would take on this machine."))
        column = QVBoxLayout(self._about)
        column.setContentsMargins(4, 0, 12, 8)
        column.setSpacing(8)
        column.addWidget(self.title)
        column.addWidget(self.note)
        column.addWidget(self.variants)
        column.addLayout(self._button_row())
        for widget in (self.remark, self.room, self.fit, self.facts, self.drafts):
            column.addWidget(widget)
        column.addStretch()
        inside = QWidget(objectName="column")
        both = QVBoxLayout(inside)
        both.setContentsMargins(0, 0, 0, 0)
        both.addWidget(self.hint)
        both.addWidget(self._about, 1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName(self.tr("About the chosen model"))

    def _button_row(self) -> QVBoxLayout:
        rows = QVBoxLayout()
        rows.setSpacing(6)
        first, second = QHBoxLayout(), QHBoxLayout()
        models = self._models
        for row, key, text, slot in (
            (first, "download", self.tr("Download"), models.download),
            (first, "use", self.tr("Use This Pair"), lambda: self.use_chosen.emit(models.choice)),
            (first, "try", self.tr("Try This Pair"), lambda: self.try_chosen.emit(models.choice)),
            (first, "page", self.tr("Open Its Page"), self._open_page),
            (second, "token", self.tr("Enter Token…"), self.token_wanted.emit),
            (second, "again", self.tr("Ask Again"), self._ask_again),
            (second, "verify", self.tr("Verify"), lambda: models.verify(models.entry.title)),
            (second, "delete", self.tr("Delete…"), lambda: self.delete_chosen.emit(models.entry.title)),
        ):
            button = QPushButton(text, autoDefault=False)
            button.setProperty("role", "wide" if key in ("download", "use") else "outline")
            button.clicked.connect(lambda _=False, slot=slot: slot())
            self.buttons[key] = button
            row.addWidget(button)
        for row in (first, second):
            row.setSpacing(8)
            row.addStretch()
            rows.addLayout(row)
        return rows

    def _show_variants(self, choice: Choice) -> None:
        group = self._models.entry.group
        self.variants.setVisible(group is not None and len(group.models) > 1)
        if group is None:
            return
        names = [f"{one.variant or self.tr('unquantised')} · {one.repo_id}" for one in group.models]
        if [self.variants.itemText(i) for i in range(self.variants.count())] != names:
            self.variants.clear()
            for name, one in zip(names, group.models, strict=True):
                self.variants.addItem(name, one.repo_id)
        self.variants.setCurrentIndex(self.variants.findData(choice.target))

    def _show_estimate(self, choice: Choice) -> None:
        estimate = self._models.estimate()
        assert estimate is not None
        asking = any(self._models.is_asking(name) for name in choice.names)
        has_numbers = estimate.needed_bytes is not None and estimate.available_bytes is not None
        judged = self._models.judgements.get(choice.target)
        doubt = judged.reason if isinstance(judged, Judgement) and not has_numbers else ""
        words = doubt or (self.tr("Asking what it takes…") if asking and not has_numbers else room_words(estimate))
        self.room.setText(words)
        self.room.setVisible(asking or has_numbers or bool(doubt))
        self.fit.setVisible(has_numbers)
        if estimate.needed_bytes is not None and estimate.available_bytes is not None:
            self.fit.show_room(estimate.needed_bytes, estimate.available_bytes, estimate.room, self.room.text())
        self.facts.show_facts(facts_of(self._models, choice, self.measured, choice.arguments == self.loaded.arguments))

    def _show_buttons(self, choice: Choice) -> None:
        models, estimate = self._models, self._models.estimate()
        assert estimate is not None
        model = models.entry.model
        under_way = any(one.is_under_way for name in estimate.missing if (one := models.download_of(name)) is not None)
        fetch = fetch_words(estimate) if estimate.missing else ""
        fits = estimate.room != "no"
        wish = self.tr("Download {}") if fits else self.tr("Download {} All the Same")
        text = wish.format(fetch) if estimate.fetch_bytes else self.tr("Download")
        _set_role(self.buttons["download"], "wide" if fits else "outline")
        self.buttons["download"].setText(self.tr("Downloading…") if under_way else text)
        self.buttons["download"].setVisible(bool(estimate.missing) and model is None and estimate.fetch_bytes != 0)
        self.buttons["download"].setEnabled(not under_way)
        can_use = not estimate.missing or (model is not None and model.usable)
        is_loaded = choice.arguments == self.loaded.arguments
        one, two = self.tr("Use This Model"), self.tr("Use This Pair")
        self.buttons["use"].setText(self.tr("In Use") if is_loaded else two if choice.draft else one)
        self.buttons["use"].setVisible(can_use)
        self.buttons["use"].setEnabled(not is_loaded)
        self.buttons["try"].setVisible(can_use and bool(choice.draft))
        self.buttons["try"].setEnabled(not self.is_racing)
        self.buttons["try"].setText(self.tr("Racing…") if self.is_racing else self.tr("Try This Pair"))
        self.buttons["try"].setToolTip(self.tr("Races it for 20 seconds against plain decoding, on this machine"))
        self.buttons["page"].setVisible(bool(self._page()))
        checking = model is not None and model.name in models.verifying
        self.buttons["verify"].setText(self.tr("Verifying…") if checking else self.tr("Verify"))
        self.buttons["verify"].setVisible(model is not None and model.source == "hub")
        self.buttons["verify"].setEnabled(not checking)
        self.buttons["delete"].setVisible(model is not None)
        in_use = model is not None and choice.target in (self.loaded.target, self.loaded.draft)
        self.buttons["delete"].setEnabled(not in_use)
        self.buttons["delete"].setToolTip(self.tr("It is in use: use another one first.") if in_use else "")

    def _show_remark(self, choice: Choice) -> None:
        refusal = self._refusal(choice)
        said = refusal_words(refusal.message, refusal.kind) if refusal is not None else self._damage(choice)
        self.remark.setText(said)
        self.remark.setVisible(bool(said))
        self.buttons["again"].setVisible(refusal is not None)
        judged = [self._models.judgements.get(name) for name in choice.names]
        gated = any(isinstance(one, Judgement) and one.gated and one.fetch_bytes for one in judged)
        self.buttons["token"].setVisible(gated or (refusal is not None and needs_token(refusal.kind)))

    def _damage(self, choice: Choice) -> str:
        """Why what is all here cannot be used."""
        found = (self._models.installed(name) for name in (*choice.names, self._models.entry.title))
        damaged = next((one for one in found if one is not None and not one.usable), None)
        if damaged is None:
            return ""
        return self.tr("{} cannot be used: {} Delete it under Installed.").format(damaged.name, damaged.problem)

    def _refusal(self, choice: Choice) -> Refusal | None:
        judged = (self._models.judgements.get(name) for name in choice.names)
        return next((one for one in judged if isinstance(one, Refusal)), None)

    def _page(self) -> str:
        choice = self._models.choice
        judged = [self._models.judgements.get(name) for name in choice.names] if choice else []
        return next((one.page for one in judged if one is not None and one.page), "")

    def _open_page(self) -> None:
        QDesktopServices.openUrl(QUrl(self._page()))

    def _ask_again(self) -> None:
        self._models.choose(self._models.entry, self._models.choice)

    def _on_variant(self, index: int) -> None:
        self._models.choose(self._models.entry, Choice(str(self.variants.itemData(index))))

    def _on_draft(self, pair: Pair | None) -> None:
        choice = self._models.choice
        assert choice is not None
        self._models.choose(self._models.entry, self._with_draft(choice, pair))

    def _with_draft(self, choice: Choice, pair: Pair | None) -> Choice:
        """The pair itself where the target is its own, else the target in another quantisation with that draft."""
        if pair is None:
            return Choice(choice.target)
        return choice_of(pair) if pair.target == choice.target else Choice(choice.target, pair.draft)


def _set_role(button: QPushButton, role: str) -> None:
    """Take another look of the style sheet."""
    if button.property("role") != role:
        button.setProperty("role", role)
        button.style().polish(button)
