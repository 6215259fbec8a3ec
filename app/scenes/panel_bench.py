"""`python -m app.scenes.panel_bench`: what the panel costs while rounds stream in, in shares of one processor core.

Runs the real window, without a display and without an engine, feeding it an answer's chunks as they would come off the
wire; once with the panel hidden, and once for each of its pages. The panel's cost is what a page takes more than the
hidden panel.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.window.frame import MainWindow

DRAFTED, ACCEPTED = 4, 2
WORDS = ("the", "draft", "proposes", "a", "few", "tokens", "and", "the", "target", "checks", "them", "all.")
PARAGRAPH_ROUNDS = 40
KEPT_UP = 0.9  # of the rate; below that the machine was too busy for the figures to mean anything
LEAST_UPDATES = 20  # a second, of the thirty that the panel may have; fewer, and too little was painted to count


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0, or 1 where a page costs more than the limit."""
    parser = argparse.ArgumentParser(prog="app.scenes.panel_bench", description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="rounds a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of the measurements")
    parser.add_argument("--limit", type=float, default=0.10, help="the most that a page may cost, as a share of a core")
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["LOOKAHEAD_THEME"] = "light"
    hidden, pages = measure(options.rate, options.seconds)
    sys.stdout.write(f"{options.rate} rounds a second, text streaming, panel hidden: {hidden:.1%} of a core\n")
    for page, share in pages.items():
        sys.stdout.write(f"panel, page {page}: {share - hidden:.1%} more\n")
    return int(max(pages.values()) - hidden > options.limit)


def measure(rate: int, seconds: float) -> tuple[float, dict[str, float]]:
    """The share of a core with the panel hidden, and with each page."""
    from PySide6.QtWidgets import QApplication

    from app.store import Store
    from app.window.memory import WindowMemory
    from app.window.workspace import build_window

    app = QApplication.instance() or QApplication([])
    app.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as folder:
        window = build_window(memory=WindowMemory(Path(folder) / "window.ini"), store=Store(None))
        window.resize(1280, 800)
        window.show()
        try:
            window.bar.panel.setChecked(False)
            stream(window, rate, 1.0)  # what is made once is made now
            hidden = stream(window, rate, seconds)
            window.bar.panel.setChecked(True)
            pages = {}
            for index, page in enumerate(window.panel.switch.buttons):
                window.panel.switch.choose(index)
                stream(window, rate, 1.0)
                pages[page.text()] = stream(window, rate, seconds)
        finally:
            window.close()
    return hidden, pages


def stream(window: "MainWindow", rate: int, seconds: float) -> float:
    """Stream an answer into the window; the processor time that took, as a share of the time that passed."""
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    from app.store import Answer, Question

    window.chat.start_over()
    answering = window.chat._answering
    turn = window.chat.conversation.ask(Question("How fast is the panel?"), Answer(1))
    window.chat.turn_added.emit(turn)
    answering.answer = turn.answer
    window.chat._trace.show(turn.answer)
    chunks = [json.dumps(chunk(index)) for index in range(int(rate * seconds))]
    updates: list[float] = []
    count = window.chat._trace.updated.connect(lambda: updates.append(time.perf_counter()))
    began, used = time.perf_counter(), time.process_time()
    for index, data in enumerate(chunks):
        while True:  # once at least: a stream that is behind still lets the window paint
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 2)
            if time.perf_counter() >= began + index / rate:
                break
            time.sleep(0.0005)
        window.chat.session.client._take(data)
    spent_s = time.perf_counter() - began
    share = (time.process_time() - used) / spent_s
    window.chat._trace.updated.disconnect(count)
    answering.end("stopped")
    if len(updates) / spent_s < LEAST_UPDATES:
        sys.stderr.write(f"too busy a machine: the panel was told {len(updates) / spent_s:.0f} times a second\n")
    if len(chunks) / spent_s < KEPT_UP * rate:
        sys.stderr.write(f"too busy a machine: {len(chunks) / spent_s:.0f} rounds a second instead of {rate}\n")
    return share


def chunk(index: int) -> dict[str, Any]:
    """A round as the engine streams it, with alternatives."""
    words = [" " + WORDS[(index * 3 + place) % len(WORDS)] for place in range(DRAFTED)]
    top = [{"id": place, "text": word, "probability": 0.5 / (place + 1)} for place, word in enumerate(words[:3])]
    states = ["accepted"] * ACCEPTED + ["rejected"] + ["untested"] * (DRAFTED - ACCEPTED - 1)
    drafted = [{"id": 7, "text": t, "p": 0.6, "q": 0.5, "state": s} for t, s in zip(words, states, strict=True)]
    kinds = ["accepted"] * ACCEPTED + ["correction"]
    emitted = [
        {"id": 7, "text": text, "kind": kind, "p": 0.6, "q": 0.5, "position": 3 * index + place, "target_top": top,
         "draft_top": top}
        for place, (text, kind) in enumerate(zip(words, kinds, strict=False))
    ]  # fmt: skip
    told = {
        "type": "round", "round": index, "drafter": "model", "lookahead": DRAFTED, "next_lookahead": DRAFTED,
        "parked": False, "reason": "1.40x plain expected", "drafted": drafted, "emitted": emitted,
        "draft_ms": 1.0, "verify_ms": 3.5, "round_ms": 5.0, "plain_step_ms": 3.0,
    }  # fmt: skip
    paragraph = "\n\n" if index % PARAGRAPH_ROUNDS == 0 else ""
    delta = {"content": paragraph + "".join(words[: ACCEPTED + 1])}
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta}], "speculation": told}


if __name__ == "__main__":
    sys.exit(main())
