"""Proves a built bundle on Linux: each of the app's ways in, with no network, no Python, an empty home and odd paths.

    python packaging/proof/run.py [WORD...]    of the bundle in `dist`; with words, only the checks whose names have one

Prints a line for each check with its seconds and fails with the first that does not hold. What the app answers is
compared with what the checkout answers by plain decoding.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "packaging" / "proof")]

import commands  # noqa: E402 - files beside this one
import harm  # noqa: E402
import sandbox  # noqa: E402
import windows  # noqa: E402

CHECKS: tuple[Callable[[sandbox.Sandbox], str], ...] = (
    commands.versions_are_told_at_once,
    commands.the_doctor_finds_everything_inside,
    commands.generate_says_what_the_checkout_says,
    commands.serve_answers_and_ends_when_asked,
    commands.a_gguf_file_is_imported,
    windows.a_question_in_the_window,
    windows.a_second_launch_hands_over,
    windows.the_first_paint_comes_in_time,
    harm.no_display,
    harm.a_read_only_home,
    harm.a_full_disk_at_first_launch,
    harm.old_and_damaged_settings,
    harm.started_from_a_read_only_folder,
)


def main(words: list[str], dist: Path = ROOT / "dist") -> int:
    """Run the checks; the exit code."""
    sandbox.enter()
    chosen = [check for check in CHECKS if not words or any(word in check.__name__ for word in words)]
    scratch = Path(tempfile.mkdtemp(prefix="lookahead-proof-"))
    # A path as people have them; the app is moved there, not copied, and back again at the end.
    place = scratch / "Größe & Raum" / "Look ahead"
    place.parent.mkdir()
    shutil.move(dist / "Lookahead", place)
    box = sandbox.Sandbox(place, scratch / "Zuhause äöü 家", ROOT)
    told: dict[str, object] = {}
    try:
        for check in chosen:
            began = time.monotonic()
            name = check.__name__.replace("_", " ")
            try:
                what = check(box)
            except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
                print(f"proof: FAILED  {name}: {error}", flush=True)
                return 1
            told[name] = what
            print(f"proof: ok {time.monotonic() - began:6.1f} s  {name}: {what}", flush=True)
    finally:
        shutil.move(place, dist / "Lookahead")
        shutil.rmtree(scratch, ignore_errors=True)
        (dist / "proof.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(ROOT)
    sys.exit(main(sys.argv[1:]))
