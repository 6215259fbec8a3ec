"""The `lookahead` command: one window, and the engine it starts."""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNSUITED = 2
NO_DISPLAY = 3
_NEEDS_NO_DISPLAY = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window; returns the exit code: 0, 2 where MLX does not run, or 3 where there is no display."""
    parser = argparse.ArgumentParser(prog="lookahead", description="Chat with a local model and watch it look ahead.")
    parser.add_argument("--version", action="version", version=f"Lookahead {_version()}")
    parser.add_argument("files", nargs="*", help="text files to attach, prompt files to run, or a lookahead:// link")
    options = parser.parse_args(arguments)
    if unsuited := unsupported_system(sys.platform, platform.machine()):
        sys.stderr.write(f"lookahead: {unsuited}\n")
        return UNSUITED
    if not has_display(sys.platform, os.environ):
        sys.stderr.write("lookahead: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set).\n")
        return NO_DISPLAY
    return _run(options.files)


def unsupported_system(system: str, machine: str) -> str | None:
    """One sentence where the engine cannot run, by `sys.platform` and `platform.machine()`; None where it can."""
    if system == "darwin" and machine != "arm64":
        return "Lookahead needs Apple silicon, and this Mac or this Python is made for Intel."
    if system not in ("darwin", "linux"):
        return f"Lookahead runs on Apple silicon Macs and on Linux, and this system is {system}."
    return None


def has_display(platform: str, environment: Mapping[str, str]) -> bool:
    """Whether a window can open. Qt itself would abort where it cannot."""
    if not platform.startswith("linux"):
        return True
    if environment.get("QT_QPA_PLATFORM", "").split(":")[0] in _NEEDS_NO_DISPLAY:
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _run(words: Sequence[str]) -> int:
    # Qt is imported late: `--help` and a missing display need none of it.
    from PySide6.QtCore import QTimer

    from app.window.application import Application
    from app.window.links import is_link
    from app.window.logs import catch_errors, start_logging
    from app.window.place import place_problem
    from app.window.single_instance import SingleInstance
    from app.window.workspace import Workspace

    app = Application(sys.argv[:1])
    app.setApplicationName("Lookahead")
    app.setStyle("Fusion")
    files, links = [Path(word) for word in words if not is_link(word)], [word for word in words if is_link(word)]
    own = _version()
    instance = SingleInstance(version=own, parent=app)
    if instance.hand_over(files, links):
        if instance.earlier_version != own:
            sys.stderr.write(
                f"lookahead: version {instance.earlier_version or 'unknown'} is open and has come to the front: quit it"
                f" to open {own}.\n"
            )
        return 0
    instance.listen()
    start_logging()
    workspace = Workspace()
    workspace.setParent(app)
    catch_errors(workspace.tell, workspace.reports)
    instance.launched.connect(workspace.on_launched)
    instance.linked.connect(workspace.open_link)
    instance.differed.connect(lambda other: workspace.tell_version(own, other))
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
    if problem := place_problem(Path(sys.executable)):
        workspace.tell(problem)
    workspace.open_files(files)
    for link in links:
        workspace.open_link(link)
    workspace.watch()
    return app.exec()


def _version() -> str:
    try:
        return version("lookahead-spec")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
