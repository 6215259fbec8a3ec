"""What the shapes of the charts mean, in a line of rich text: shape and colour, and the word."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.engine.protocol import Round
from app.look.theme import Palette
from app.speculation.tally import Tally

Entry = tuple[str, str, str]


def lookahead_key(rounds: Sequence[Round], tally: Tally, palette: Palette) -> str:
    """The key of the lookahead chart, as far as its shapes occur."""
    entries: list[Entry] = [
        (palette.accepted, "■", QCoreApplication.translate("TraceKey", "accepted")),
        (palette.muted, "━", QCoreApplication.translate("TraceKey", "looked ahead")),
    ]
    if any(one.drafter == "ngram" for one in rounds):
        entries.insert(1, (palette.ngram, "□◇", QCoreApplication.translate("TraceKey", "accepted, n\u2011gram")))
    if tally.num_parked:
        entries.append((palette.muted, "▨", QCoreApplication.translate("TraceKey", "parked")))
    return _line(entries)


def timeline_key(palette: Palette, *, has_wire: bool = False) -> str:
    """The key of the timeline; of the wire only where some of the time went there."""
    entries: list[Entry] = [
        (palette.ngram, "■", QCoreApplication.translate("TraceKey", "verify")),
        (palette.correction, "▩", QCoreApplication.translate("TraceKey", "draft")),
        (palette.muted, "▨", QCoreApplication.translate("TraceKey", "host")),
    ]
    if has_wire:
        entries.insert(1, (palette.bonus, "▦", QCoreApplication.translate("TraceKey", "wire")))
    return _line(entries)


def rows_key(palette: Palette) -> str:
    """The key of a step's rows."""
    return _line(
        [
            (palette.accent, "□", QCoreApplication.translate("TraceKey", "read")),
            (palette.plain, "■", QCoreApplication.translate("TraceKey", "plain")),
            (palette.accepted, "■", QCoreApplication.translate("TraceKey", "accepted")),
            (palette.ghost, "▨", QCoreApplication.translate("TraceKey", "rejected")),
        ]
    )


def _line(entries: list[Entry]) -> str:
    shown = [
        f'<span style="color:{colour}">{shape}</span>&nbsp;{name.replace(" ", "&nbsp;")}'
        for colour, shape, name in entries
    ]
    return "&nbsp;&nbsp; ".join(shown)  # the last space is the one to break at
