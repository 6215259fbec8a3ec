"""The field one writes in: keys, growth, history, the meter; and the counting behind it."""

from collections.abc import Sequence

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.engine.network import EngineAddress
from app.engine.process import EngineProcess
from app.engine.token_counter import TokenCount, TokenCounter
from app.look.stylesheet import build_stylesheet
from app.look.theme import LIGHT
from app.prompts.attached_file import AttachedFile, format_size, is_long_paste
from app.prompts.context import ContextViewModel, next_messages
from app.prompts.history import ComposerHistory
from app.prompts.views.composer import Composer
from app.prompts.views.field import MAX_LINES
from app.store.conversation import Attachment


@pytest.fixture
def composer(qtbot: QtBot) -> Composer:
    QApplication.instance().setStyleSheet(build_stylesheet(LIGHT))
    composer = Composer(LIGHT)
    qtbot.addWidget(composer)
    composer.resize(500, 200)
    composer.show()
    composer.set_state(can_send=True, is_busy=False)
    composer.submitted.connect(lambda _: composer.clear())
    return composer


def send(composer: Composer, text: str, qtbot: QtBot) -> None:
    composer.set_text(text)
    qtbot.keyClick(composer.field, Qt.Key.Key_Return)


def test_enter_sends_and_shift_enter_breaks_the_line(composer: Composer, qtbot: QtBot) -> None:
    sent: list[str] = []
    composer.submitted.connect(sent.append)
    qtbot.keyClicks(composer.field, "one")
    qtbot.keyClick(composer.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(composer.field, "two")
    assert sent == []
    qtbot.keyClick(composer.field, Qt.Key.Key_Enter, Qt.KeyboardModifier.KeypadModifier)
    assert sent == ["one\ntwo"]


def test_it_grows_with_its_lines_to_a_limit_and_then_scrolls(composer: Composer) -> None:
    heights = []
    for num_lines in (1, 2, MAX_LINES, MAX_LINES + 1, 200):
        composer.set_text("\n".join(["line"] * num_lines))
        heights.append(composer.field.height())
    assert heights[0] < heights[1] < heights[2] == heights[3] == heights[4]
    never = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
    assert composer.field.verticalScrollBarPolicy() != never
    composer.set_text("")
    assert composer.field.height() == heights[0]
    assert composer.field.verticalScrollBarPolicy() == never


def test_up_brings_back_what_was_sent_and_down_what_was_being_written(composer: Composer, qtbot: QtBot) -> None:
    for text in ("first", "second\nof two lines", "second\nof two lines"):
        send(composer, text, qtbot)
    seen = []
    for key in ("Up", "Up", "Up", "Down", "Down"):
        qtbot.keyClick(composer.field, getattr(Qt.Key, f"Key_{key}"))
        seen.append(composer.text)
    assert seen == ["second\nof two lines", "first", "first", "second\nof two lines", ""]


def test_up_moves_the_cursor_in_a_text_of_ones_own(composer: Composer, qtbot: QtBot) -> None:
    send(composer, "sent", qtbot)
    composer.set_text("mine")
    qtbot.keyClick(composer.field, Qt.Key.Key_Up)
    assert composer.text == "mine"
    composer.set_text("")
    qtbot.keyClick(composer.field, Qt.Key.Key_Up)
    qtbot.keyClicks(composer.field, "!")
    qtbot.keyClick(composer.field, Qt.Key.Key_Up)
    assert composer.text == "sent!", "a text from the history that was changed is one's own"


def test_the_history_keeps_the_draft() -> None:
    history = ComposerHistory()
    assert history.older("draft") is None
    history.begin_with(["earlier"])
    history.remember("a")
    history.begin_with(["too late"])
    history.remember("  ")
    assert history.older("draft") == "a"
    assert history.older("a") == "earlier"
    assert history.older("earlier") is None
    assert history.newer("earlier") == "a"
    assert history.newer("a") == "draft"
    assert history.newer("draft") is None


def test_files_alone_can_be_sent(composer: Composer) -> None:
    assert not composer.has_content
    composer.show_files([AttachedFile("a.txt", "text", 4)])
    assert composer.has_content
    assert composer.parts == (Attachment("a.txt", "text"),)


def test_chips_wrap_and_many_scroll(composer: Composer, qtbot: QtBot) -> None:
    heights = []
    for count in (1, 2, 60, 200):
        composer.show_files([AttachedFile(f"file number {i}.txt", "text", 4, num_tokens=1) for i in range(count)])
        qtbot.wait(10)
        heights.append(composer.chips.height())
        right = max(chip.geometry().right() for chip in composer.chips.chips)
        assert right <= composer.chips.viewport().width()
    assert heights[0] < heights[1] < heights[2] == heights[3]
    composer.show_files([])
    assert not composer.chips.isVisible()


def test_the_meter_says_in_words_that_it_is_too_much(composer: Composer) -> None:
    composer.set_text("x")
    composer.show_count(TokenCount(1200, 8192))
    assert composer.meter.label.text() == "1,200 / 8,192"
    composer.show_count(TokenCount(8500, 8192))
    assert composer.meter.label.text() == "8,500 / 8,192 · 308 over"
    assert "308 too many" in composer.meter.accessibleName()
    composer.show_count(TokenCount(1200, None))
    assert composer.meter.label.text() == "1,200", "nobody knows how much the model's context holds"
    composer.show_count(None)
    assert not composer.meter.isVisible()


def test_reading_is_told_while_it_lasts(composer: Composer) -> None:
    composer.show_reading(2, 40)
    assert composer.reading.text() == "Reading 3 of 40 files…"
    composer.show_reading(40, 40)
    assert composer.reading.text() == ""


def test_every_control_is_named(composer: Composer) -> None:
    composer.show_files([AttachedFile("a.txt", "text", 4)])
    (chip,) = composer.chips.chips
    controls = (composer.field, composer.button, composer.attach_button, chip.label, chip.close_button)
    assert all(control.accessibleName() for control in controls)
    assert "a.txt" in chip.close_button.accessibleName()


def test_sizes_and_long_pastes() -> None:
    assert [format_size(n) for n in (0, 999, 1000, 14_300, 3_140_000)] == ["0 B", "999 B", "1 KB", "14 KB", "3.1 MB"]
    assert not is_long_paste("a" * 4000)
    assert is_long_paste("a" * 4001)
    assert is_long_paste("\n" * 80)


def test_what_is_counted_is_what_is_sent() -> None:
    earlier = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    told = next_messages("Be brief.", earlier, " c ", [Attachment("f.txt", "F")])
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert "F" in told[-1]["content"]
    assert told[-1]["content"].endswith("c")
    assert next_messages("Be brief.", earlier, " ")[1:] == earlier, "nothing is written: the conversation alone"
    assert next_messages("Be brief.", [], "") == []
    unanswered = [*earlier, {"role": "user", "content": "no answer came"}]
    assert next_messages("", unanswered, "c") == [*earlier, {"role": "user", "content": "c"}]


class Counter(TokenCounter):
    """Counts when it is told to: the engine may be slow."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def count_messages(self, key: object, messages: Sequence[object], *, prompt: bool = False) -> None:
        self.asked.append(key)


def test_a_count_that_is_out_of_date_is_not_used(qtbot: QtBot) -> None:
    counter = Counter()
    context = ContextViewModel(counter, lambda: [{"role": "user", "content": "x"}])
    decided: list[TokenCount | None] = []
    context.when_counted(decided.append)
    (first,) = counter.asked
    context.refresh()
    counter.counted.emit(first, TokenCount(1, 10))
    assert (decided, context.count) == ([], None)
    qtbot.waitUntil(lambda: len(counter.asked) == 2, timeout=5_000)
    counter.counted.emit(counter.asked[1], TokenCount(2, 10))
    assert decided == [TokenCount(2, 10)]
    context.when_counted(decided.append)
    assert decided[1:] == [TokenCount(2, 10)], "a fresh count answers at once"
    assert len(counter.asked) == 2
    context.refresh()
    context.when_counted(decided.append)
    counter.failed.emit(counter.asked[2], "no engine")
    assert decided[2:] == [None], "an engine that cannot count holds nothing up"


def test_counting_waits_for_the_engine_and_survives_one_that_is_gone(engine: EngineProcess, qtbot: QtBot) -> None:
    counter = TokenCounter()
    told: list[tuple[object, TokenCount]] = []
    failed: list[tuple[object, str]] = []
    counter.counted.connect(lambda key, count: told.append((key, count)))
    counter.failed.connect(lambda key, why: failed.append((key, why)))
    counter.count_text(1, "two words")
    counter.count_text(1, "three short words")
    counter.count_messages(2, [{"role": "user", "content": "hello"}], prompt=True)
    assert told == []
    counter.set_address(engine.property("address"))
    qtbot.waitUntil(lambda: len(told) == 2, timeout=10_000)
    assert told == [(1, TokenCount(3, 500, "three short words")), (2, TokenCount(1, 500, "hello"))]
    counter.set_address(EngineAddress("http://127.0.0.1:9", "no"))
    counter.count_text(3, "x")
    qtbot.waitUntil(lambda: bool(failed), timeout=10_000)
    assert failed[0][0] == 3
