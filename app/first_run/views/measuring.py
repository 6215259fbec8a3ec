"""The minute's bench on the first page: a button, then how far it is, then what it showed."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from app.first_run.minute import MinuteBench
from app.first_run.words import KIND_NAMES, minute_words, translate


class Measuring(QWidget):
    """Shows a MinuteBench. What its button does, the page's owner decides: it knows whether the engine is ready."""

    def __init__(self, bench: MinuteBench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self.verdict = QLabel(wordWrap=True)
        self.verdict.setProperty("role", "verdict")
        self.words = QLabel(wordWrap=True)
        self.words.setProperty("role", "advice")
        self.bar = QProgressBar(textVisible=False, maximum=100)
        self.bar.setAccessibleName(self.tr("Progress of the measurement"))
        self.button = QPushButton()
        self.button.setProperty("role", "outline")
        for label in (self.verdict, self.words):
            label.setTextFormat(Qt.TextFormat.PlainText)
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.verdict)
        layout.addWidget(self.words)
        layout.addWidget(self.bar)
        layout.addLayout(row)
        self._can_start = False
        bench.changed.connect(self.show_bench)
        self.show_bench()

    def set_can_start(self, can_start: bool) -> None:
        """Whether the engine can be asked now."""
        self._can_start = can_start
        self.show_bench()

    def show_bench(self) -> None:
        """Show how it stands."""
        bench = self._bench
        self.button.setText(self._button_text())
        self.button.setEnabled(bench.is_running or self._can_start)
        self.bar.setVisible(bench.is_running)
        self.bar.setValue(round(100 * bench.share))
        rest = self.tr("Ask nothing meanwhile.")
        told = self.tr("Three answers of the loaded model, each without a draft and then with one, from the same seed.")
        headline, told = "", f"{told} {rest}"
        if bench.is_running:
            kind = translate("FirstRun", KIND_NAMES.get(bench.kind, bench.kind))
            told = self.tr("Now: {0}.").format(kind) if kind else self.tr("Warming up.")
        elif bench.problem is not None:
            told = f"{bench.problem.title} {bench.problem.advice}"
        elif bench.minute is not None:
            headline, told = minute_words(bench.minute)
        self.verdict.setText(headline)
        self.verdict.setVisible(bool(headline))
        self.words.setText(told)

    def _button_text(self) -> str:
        if self._bench.is_running:
            return self.tr("Stop")
        again = self._bench.minute is not None or self._bench.problem is not None
        return self.tr("Measure Again") if again else self.tr("Measure for a Minute")
