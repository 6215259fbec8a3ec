"""Facts about a choice, a line each: what it is made of, what it takes, who may have it."""

import time
from collections.abc import Iterator, Sequence

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QFormLayout, QLabel, QWidget

from app.engine.model_records import Judgement, LoadedMemory
from app.models.choice import BUILT_IN, Choice
from app.models.library import ModelsViewModel
from app.models.sizes import format_bytes
from app.models.views.words import access_words, fetch_words, memory_words, support_words, used_words

translate = QCoreApplication.translate

Fact = tuple[str, str]


def facts_of(models: ModelsViewModel, choice: Choice, measured: str, is_loaded: bool = False) -> list[Fact]:
    """All that is known, without what is not. Of what `is_loaded`, also what it really takes."""
    facts = [*_about_pair(models, choice, measured), *_about_stock(models, choice)]
    if is_loaded and models.memory is not None:
        facts.append((translate("Facts", "Takes now"), _taken_words(models.memory)))
    estimate = models.estimate()
    if estimate is not None:
        facts.append((translate("Facts", "To download"), fetch_words(estimate)))
    judged = models.judgements.get(choice.target)
    if isinstance(judged, Judgement) and choice.names:
        memory = translate("Facts", "Target's memory") if choice.draft else translate("Facts", "Memory")
        facts += [(memory, memory_words(judged)), *_about_judgement(judged)]
    return [(name, value) for name, value in facts if value]


def _about_pair(models: ModelsViewModel, choice: Choice, measured: str) -> Iterator[Fact]:
    if not choice.draft:
        return
    yield translate("Facts", "Target"), choice.target
    yield translate("Facts", "Draft"), choice.draft
    pair = models.entry.pair
    pairs = (*(models.drafts.get(choice.target) or ()), *((pair,) if pair else ()))
    known = next((one for one in pairs if one.draft == choice.draft), None)
    if known is not None:
        yield translate("Facts", "Vocabulary"), vocabulary_words(known.kind)
        if choice.pair != BUILT_IN:
            where = translate("Facts", "Both names stand in public code that runs them; not tried by us.")
            yield (
                translate("Facts", "Checked"),
                where if known.verified else translate("Facts", "Nobody was found who runs these two together."),
            )
    # A figure from elsewhere would be a guess about this machine: only what was measured here is told.
    unknown = translate("Facts", "Not measured on this machine yet: try the pair.")
    yield translate("Facts", "Speed-up"), measured or unknown


def _taken_words(memory: LoadedMemory) -> str:
    now = translate("Facts", "{} (the engine as a whole {})").format(
        format_bytes(memory.models_bytes), format_bytes(memory.process_bytes)
    )
    if memory.expected_bytes is None:
        return now
    expected = translate("Facts", "{}; expected: {} when {:,} tokens of context are full")
    return expected.format(now, format_bytes(memory.expected_bytes), memory.context_tokens)


def vocabulary_words(kind: str) -> str:
    """How target and draft understand each other."""
    return {
        "same": translate("Facts", "The same for both"),
        "bridged": translate("Facts", "Two, bridged: the draft proposes the tokens they share"),
        "head": translate("Facts", "A head: it reads the target's own states"),
    }.get(kind, kind)


def _about_stock(models: ModelsViewModel, choice: Choice) -> Iterator[Fact]:
    model = models.entry.model
    if model is None:
        return
    yield translate("Facts", "On disk"), format_bytes(model.size_bytes)
    yield translate("Facts", "Last used"), used_words(model.last_used_s, time.time())
    yield translate("Facts", "Folder"), model.folder


def _about_judgement(judged: Judgement) -> Iterator[Fact]:
    longest = judged.longest_context_tokens
    yield (
        translate("Facts", "Context"),
        translate("Facts", "{:,} tokens at the most").format(longest) if longest else "",
    )
    yield translate("Facts", "Kind"), support_words(judged)
    yield translate("Facts", "Licence"), judged.licence or translate("Facts", "The Hub tells none: look at its page")
    yield translate("Facts", "Access"), access_words(judged)


class FactSheet(QWidget):
    """Names at the left, values at the right; long values break."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.facts: list[Fact] = []
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 4, 0, 4)
        self._form.setVerticalSpacing(6)
        self._form.setHorizontalSpacing(16)
        self._form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def show_facts(self, facts: Sequence[Fact]) -> None:
        """Show these; labels that stay keep what is marked in them."""
        if [name for name, _ in facts] != [name for name, _ in self.facts]:
            while self._form.rowCount():
                self._form.removeRow(0)
            for name, _ in facts:
                self._form.addRow(*self._row(name))
        for row, (name, value) in enumerate(facts):
            label = self._form.itemAt(row, QFormLayout.ItemRole.FieldRole).widget()
            assert isinstance(label, QLabel)
            if label.text() != value:
                label.setText(value)
                label.setAccessibleName(f"{name}: {value}")
        self.facts = list(facts)

    def _row(self, name: str) -> tuple[QLabel, QLabel]:
        title, value = QLabel(name), QLabel(wordWrap=True)
        title.setProperty("role", "muted")
        title.setAlignment(Qt.AlignmentFlag.AlignTop)
        title.setContentsMargins(0, 1, 0, 0)  # its smaller letters stand on the same line
        value.setMinimumWidth(1)
        value.setTextFormat(Qt.TextFormat.PlainText)
        value.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        return title, value
