"""The log file: rotated, in the platform's folder, and where errors go that nobody caught."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from platformdirs import user_log_path
from PySide6.QtCore import QCoreApplication

from app.engine.problem import Problem
from app.upkeep import ReportFolder

MAX_BYTES = 1_000_000
NUM_OLD = 3


class _Handler(RotatingFileHandler):
    """A line that finds no room on the disk is lost; logging's own way is a traceback on stderr for each."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_file() -> Path:
    """`logs/lookahead.log` in $LOOKAHEAD_HOME when that is set, else in the platform's folder for logs."""
    home = os.environ.get("LOOKAHEAD_HOME")
    return (Path(home) / "logs" if home else user_log_path("Lookahead", appauthor=False)) / "lookahead.log"


def start_logging(path: Path | None = None) -> logging.Handler | None:
    """Write the log of the window and of its engine into `path`; returns None where that cannot be written."""
    path = path or log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Handler(path, maxBytes=MAX_BYTES, backupCount=NUM_OLD, encoding="utf-8", delay=True)
    except OSError:
        return None  # a log is not worth a window that does not open
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("app")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
    return handler


def catch_errors(tell: Callable[[Problem], object], reports: ReportFolder | None = None) -> None:
    """Log errors that nobody caught, write a report of each, and tell them: a window goes on after one, and must not
    hide it."""

    def on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        logging.getLogger("app").error("Nobody caught this:\n%s", details)
        title = QCoreApplication.translate("Logs", "Something went wrong inside Lookahead.")
        advice = QCoreApplication.translate("Logs", "What you wrote is kept. Please report it with the details.")
        report = reports.write(title, details) if reports is not None else None
        tell(
            Problem(
                title,
                advice,
                f"{report or log_file()}\n{details}",
                "none" if report is None else "report",
            )
        )

    sys.excepthook = on_error
