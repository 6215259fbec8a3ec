"""The window out of the app: on a virtual screen, used by its keyboard."""

import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from commands import QUESTION, plain_answer, wait_until
from sandbox import Sandbox
from screen import RETURN, Screen

PAINT_RATIO = 1.5
_PAINTED_COLOURS = 20  # a window without its texts and icons has two or three
_SIZE = "1280x800"


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_screen(port: int) -> dict[str, str]:
    """What puts a window on a virtual screen."""
    return {"QT_QPA_PLATFORM": f"vnc:size={_SIZE}:port={port}", "LOOKAHEAD_THEME": "light"}


@contextmanager
def shown(box: Sandbox, *files: str) -> Iterator[Screen]:
    """The app's window, painted; it is asked to end afterwards, and must."""
    port = free_port()
    process = box.start("lookahead", *files, more=on_screen(port))
    try:
        screen = Screen.connect(port, 60)
        wait_until(lambda: screen.colours() > _PAINTED_COLOURS, 60, "the window paints nothing")
        yield screen
        screen.close()
    finally:
        ended(process)


def ended(process: "subprocess.Popen[str]") -> None:
    """Ask a window to end. Raises AssertionError where it does not, or says that it failed."""
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("the window does not end when asked to") from None
    assert code == 0, f"the window ended with {code}"


def kept_answer(box: Sandbox) -> tuple[str, str, str, int] | None:
    """(question, answer, how it ended, seed) of the first answer among the chats that the window keeps."""
    files = list(box.home.rglob("chats.sqlite3"))
    if not files:
        return None
    with closing(sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True)) as chats:
        try:
            row = chats.execute(
                "SELECT asked.text, said.text, answer.state, answer.seed FROM answer JOIN message said ON"
                " said.id = answer.message_id JOIN message asked ON asked.id = said.parent_id ORDER BY said.id LIMIT 1"
            ).fetchone()
        except sqlite3.OperationalError:  # its tables are being made
            return None
    return row


def a_question_in_the_window(box: Sandbox) -> str:
    """Typed key by key and sent with Return, as soon as the engine is there; the words are the checkout's.

    The answer has a minute; then the window is closed, and keeps what has come.
    """
    with shown(box) as screen:
        screen.type(QUESTION)
        until = time.monotonic() + 600
        while kept_answer(box) is None:
            assert time.monotonic() < until, "the question was never sent"
            screen.press(RETURN)
            time.sleep(1)
        until = time.monotonic() + 60
        while (kept_answer(box) or ("", "", "", 0))[2] != "finished" and time.monotonic() < until:
            time.sleep(0.5)
    question, answer, how, seed = kept_answer(box) or ("", "", "", 0)
    assert question == QUESTION, f"{question!r} arrived for {QUESTION!r}"
    plain = plain_answer(box, QUESTION, "--temperature", "0.7", "--seed", str(seed), "--max-tokens", "24")
    # Either may have ended within a character.
    own, theirs = (text.rstrip("\ufffd").strip() for text in (answer, str(plain["text"])))
    compared = min(len(own), len(theirs))
    assert compared > 0, f"the window's answer is {answer!r}, {how}"
    assert own[:compared] == theirs[:compared], f"{own!r} is not {theirs!r}"
    return f"{compared} characters compared, seed {seed}, {how}: {own[:40]!r}"


def a_second_launch_hands_over(box: Sandbox) -> str:
    """A file that is opened by a second launch reaches the first window, and the second ends."""
    file = box.home / "Ein Text für später.txt"
    file.write_text("Etwas Text.\n", "utf-8")
    with shown(box) as screen:
        before = bytes(screen.look())
        done = box.run("lookahead", str(file), more=on_screen(free_port()), timeout_s=60)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: bytes(screen.look()) != before, 20, "the first window shows nothing new")
    return "the file's chip came"


def first_paint(command: list[str], environment: dict[str, str], folder: Path, port: int) -> float:
    """Seconds from the start of a process to a painted window; the process is ended."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        screen = Screen.connect(port, 60)
        while screen.colours() <= _PAINTED_COLOURS:
            assert time.monotonic() - began < 60, "the window paints nothing"
        return time.monotonic() - began
    finally:
        ended(process)


def the_first_paint_comes_in_time(box: Sandbox) -> str:
    """Frozen and checkout in turns, warm: the median of the ratios of neighbours, which share what disturbs them."""
    pairs = []
    for _ in range(4):
        port = free_port()
        own = first_paint(box.command("lookahead"), box.environment(on_screen(port)), box.home, port)
        port = free_port()
        home = box.home.parent / "checkout"
        outside = os.environ | on_screen(port) | {"LOOKAHEAD_HOME": str(home)}
        pairs.append((own, first_paint([sys.executable, "-m", "app.main"], outside, box.root, port)))
    pairs = pairs[1:]  # the first warms the disk's cache
    ratio = statistics.median(own / theirs for own, theirs in pairs)
    told = f"{json.dumps([[round(own, 2), round(theirs, 2)] for own, theirs in pairs])} s frozen and checkout"
    assert ratio <= PAINT_RATIO, f"the frozen window takes {ratio:.2f} of the checkout's time: {told}"
    return f"{ratio:.2f} of the checkout's, {told}"
