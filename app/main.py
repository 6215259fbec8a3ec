"""The `lookahead` command: one window, and the engine it starts."""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NO_DISPLAY = 3
_NEEDS_NO_DISPLAY = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window; returns the exit code: 0, or 3 where there is no display."""
    parser = argparse.ArgumentParser(prog="lookahead", description="Chat with a local model and watch it look ahead.")
    parser.add_argument("--version", action="version", version=f"Lookahead {_version()}")
    parser.add_argument("files", nargs="*", type=Path, help="text files to attach, or prompt files to run")
    options = parser.parse_args(arguments)
    if not has_display(sys.platform, os.environ):
        sys.stderr.write("lookahead: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set).\n")
        return NO_DISPLAY
    return _run(options.files)


def has_display(platform: str, environment: Mapping[str, str]) -> bool:
    """Whether a window can open. Qt itself would abort where it cannot."""
    if not platform.startswith("linux"):
        return True
    if environment.get("QT_QPA_PLATFORM", "").split(":")[0] in _NEEDS_NO_DISPLAY:
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _run(files: Sequence[Path]) -> int:
    # Qt is imported late: `--help` and a missing display need none of it.
    from PySide6.QtCore import QTimer

    from app.window.application import Application
    from app.window.logs import catch_errors, start_logging
    from app.window.single_instance import SingleInstance
    from app.window.workspace import Workspace

    app = Application(sys.argv[:1])
    app.setApplicationName("Lookahead")
    app.setStyle("Fusion")
    instance = SingleInstance(parent=app)
    if instance.hand_over(files):
        return 0
    instance.listen()
    start_logging()
    workspace = Workspace()
    workspace.setParent(app)
    catch_errors(workspace.tell, workspace.reports)
    instance.launched.connect(workspace.on_launched)
    # Python sees a signal only while Python runs: the timer gives it the chance, so that Ctrl-C ends the engine too.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: workspace.close())
    waker = QTimer(app, interval=300)
    waker.timeout.connect(lambda: None)
    waker.start()
    workspace.new_window().show()
    workspace.reopen_chat()
    workspace.engine.start()
    workspace.open_files(files)
    workspace.watch()
    return app.exec()


def _version() -> str:
    try:
        return version("lookahead-spec")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
