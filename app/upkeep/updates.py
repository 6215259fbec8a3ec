"""Is there a newer version? Asked once a day where somebody agreed to it, and whenever it is asked for by hand."""

import logging
import time
from typing import Protocol

from PySide6.QtCore import QObject, QTimer, Signal

from app.upkeep.feed import FeedError, Release, Source, is_newer, read_feed
from app.upkeep.fetching import FeedFetcher

DAY_S = 86_400.0
LOOK_MS = 3_600_000  # a window may stay open for weeks, and a sleeping machine's timers stand still

logger = logging.getLogger(__name__)


class Memory(Protocol):
    """What is remembered of updates; where, is the window's to know."""

    looks_for_updates: bool
    update_asked_s: float
    update_skipped: str


class UpdatesViewModel(QObject):
    """One for all windows. By itself it is silent about everything but a newer version.

    Signals:
        found: the Release that is newer, and was not skipped.
        told: a line for whoever asked by hand: there is none, or nobody can tell.
        agreement_changed: whether it is looked for from now on.
    """

    found = Signal(object)
    told = Signal(str)
    agreement_changed = Signal(bool)

    def __init__(
        self,
        memory: Memory,
        source: Source | None,
        current: str,
        fetcher: FeedFetcher | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._memory, self.source, self.current = memory, source, current
        self.release: Release | None = None
        """The newer version that was found."""
        self._by_hand = False
        self._fetcher = fetcher or FeedFetcher(self)
        self._fetcher.fetched.connect(self._on_fetched)
        self._fetcher.failed.connect(self._on_failed)
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self._look)

    @property
    def agreed(self) -> bool:
        """Whether somebody agreed to have it looked for."""
        return self.source is not None and self._memory.looks_for_updates

    def agree(self, agreed: bool) -> None:
        """Look for newer versions from now on, or not."""
        if agreed != self._memory.looks_for_updates:
            self._memory.looks_for_updates = agreed
            self.agreement_changed.emit(agreed)
            self._look()

    def begin(self) -> None:
        """Follow the agreement while the program runs."""
        self._timer.start()
        self._look()

    def ask(self) -> None:
        """Look now; what comes of it is told."""
        if self.source is None:
            self.told.emit(self.tr("This copy of Lookahead was built without a place to look for newer versions."))
            return
        self._by_hand = True
        self._fetcher.fetch(self.source.address)

    def skip(self, release: Release) -> None:
        """Say nothing more of this version, unless asked."""
        self._memory.update_skipped = release.version

    def _look(self) -> None:
        """A clock that was set back must not silence it for years, so times ahead of now count as long ago."""
        since = time.time() - self._memory.update_asked_s
        if self.agreed and not 0 <= since < DAY_S and self.source is not None:
            self._fetcher.fetch(self.source.address)

    def _on_fetched(self, data: bytes) -> None:
        by_hand, self._by_hand = self._by_hand, False
        self._memory.update_asked_s = time.time()
        if self.source is None:
            return
        try:
            release = read_feed(data, self.source.public_key)
        except FeedError as error:
            logger.info("No newer version can be known: %s", error)
            if by_hand:
                self.told.emit(self.tr("What came is not signed by Lookahead's makers: nothing can be said."))
            return
        if not is_newer(release.version, self.current):
            if by_hand:
                self.told.emit(self.tr("Lookahead {0} is the newest version.").format(self.current))
        elif by_hand or release.version != self._memory.update_skipped:
            self.release = release
            self.found.emit(release)

    def _on_failed(self, why: str) -> None:
        by_hand, self._by_hand = self._by_hand, False
        logger.info("The feed of newer versions did not come: %s", why)
        if by_hand:
            self.told.emit(self.tr("Nobody can tell now whether there is a newer version: the network did not answer."))
