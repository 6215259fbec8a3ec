"""Where the app was started from, as far as that matters to a person."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication

from app.engine.problem import Problem


def place_problem(program: Path) -> Problem | None:
    """What is to be told where the app runs from its disk image, or from where macOS puts what was not moved out of
    Downloads; None elsewhere."""
    if not (program.is_relative_to("/Volumes") or "AppTranslocation" in program.parts):
        return None
    translate = QCoreApplication.translate
    return Problem(
        translate("Place", "Lookahead runs from its disk image."),
        translate("Place", "Drag it into Applications and open it there: it starts quicker, and updates find it."),
        str(program),
    )
