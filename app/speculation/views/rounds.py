"""The panel's first page: the answer round by round."""

from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.speculation.replay import Replay
from app.speculation.trace import TraceViewModel
from app.speculation.views.charts.acceptance import BarChart, length_bars, place_bars
from app.speculation.views.charts.key import lookahead_key, timeline_key
from app.speculation.views.charts.lookahead import LookaheadChart
from app.speculation.views.charts.timeline import TimelineChart
from app.speculation.views.page import Page
from app.speculation.views.replay_bar import ReplayBar
from app.speculation.views.round_card import RoundCard


class TraceRounds(Page):
    """Lookahead, time, one round in words, and what the rounds add up to."""

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace, self._palette = trace, palette
        self.lookahead = LookaheadChart(palette)
        self.timeline = TimelineChart(palette)
        self.lengths = BarChart(self.tr("Rounds by how many drafts they accepted"), palette)
        self.places = BarChart(self.tr("Acceptance by place in the draft"), palette)
        self.replay = Replay(trace, self)
        self.replay_bar = ReplayBar(self.replay, palette)
        self.card = RoundCard(palette)
        self._lookahead_key, self._timeline_key = _small(), _small()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self._lookahead_key, self.lookahead, self._timeline_key, self.timeline, self.replay_bar):
            layout.addWidget(widget)
        layout.addSpacing(8)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addSpacing(8)
        layout.addWidget(self.card)
        layout.addSpacing(8)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addSpacing(8)
        layout.addLayout(self._bars())
        layout.addStretch()
        for chart in (self.lookahead, self.timeline):
            chart.pointed.connect(trace.point)
            chart.chosen.connect(trace.choose)

    @property
    def charts(self) -> list[tuple[str, LookaheadChart | TimelineChart | BarChart]]:
        """The charts and their titles, in the order in which they are exported."""
        return [
            (self.tr("Lookahead and accepted tokens by round"), self.lookahead),
            (self.tr("Milliseconds of each round"), self.timeline),
            (self.tr("Rounds by accepted drafts"), self.lengths),
            (self.tr("Acceptance by place in the draft"), self.places),
        ]

    def refresh(self) -> None:
        """Show what the trace has now."""
        trace, tally = self._trace, self._trace.tally
        if not trace.rounds:
            return
        for chart in (self.lookahead, self.timeline):
            chart.show_rounds(trace.rounds, trace.num_shown, is_live=trace.is_live)
        if not trace.is_live and tally.round_ms:
            verify_ms = tally.verify_ms - tally.wire_ms
            shares = [("verify", verify_ms), ("draft", tally.draft_ms), ("host", tally.host_ms)]
            if tally.wire_ms:
                shares.insert(1, ("wire", tally.wire_ms))
            words = ", ".join(
                self.tr("{0} {1:.0%} of the time").format(name, spent_ms / tally.round_ms) for name, spent_ms in shares
            )
            self.timeline.setAccessibleDescription(words)
        self.lengths.show_values(length_bars(tally.accepted_lengths))
        self.places.show_values(place_bars(tally.tested_at, tally.accepted_at))
        _show(self._lookahead_key, lookahead_key(trace.rounds, tally, self._palette))
        _show(self._timeline_key, timeline_key(self._palette, has_wire=bool(tally.wire_ms)))
        self.replay_bar.refresh()
        self.point()

    def point(self) -> None:
        """Show the round that is pointed at, else the latest."""
        pointed, num_shown = self._trace.pointed_round, self._trace.num_shown
        for chart in (self.lookahead, self.timeline):
            chart.mark(pointed)
        if self._trace.rounds:
            index = pointed if pointed is not None else max(0, num_shown - 1)
            self.card.show_round(self._trace.rounds[index], self._palette, is_latest=index == num_shown - 1)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        for part in (self.lookahead, self.timeline, self.lengths, self.places, self.replay_bar):
            part.apply_palette(palette)
        self.refresh()

    def _bars(self) -> QVBoxLayout:
        """One under the other: nine bars beside nine others would leave no room for their words."""
        column = QVBoxLayout()
        column.setSpacing(2)
        titled = (
            (
                self.tr("Accepted a round"),
                self.lengths,
                self.tr("Of the rounds that drafted: how many accepted 0, 1, 2, …"),
            ),
            (
                self.tr("Accepted by place"),
                self.places,
                self.tr("Of the drafts tested in the first, second, … place: how many stood"),
            ),
        )
        for words, chart, meaning in titled:
            title = _small(words)
            for widget in (title, chart):
                widget.setToolTip(meaning)
                column.addWidget(widget)
            column.addSpacing(8)
        return column


def _small(words: str = "") -> QLabel:
    label = QLabel(words, wordWrap=True)
    label.setProperty("role", "muted")
    return label


def _show(label: QLabel, words: str) -> None:
    """Set a text where it changed: a label lays itself out again for the same words too."""
    if label.text() != words:
        label.setText(words)
