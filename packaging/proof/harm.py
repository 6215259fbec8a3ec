"""What people's machines are like: no display, homes that take nothing, full disks, settings from elsewhere, an app
that was never copied from its disk image."""

import json
import os
import subprocess
from pathlib import Path

from commands import QUESTION, good, tiny_file
from sandbox import Sandbox, mounted
from windows import shown


def one_sentence(text: str, *words: str) -> str:
    """The one line that a program said. Raises AssertionError where there are more, a traceback, or not these words."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    assert lines, "it said nothing"
    assert "Traceback" not in text, text
    for word in words:
        assert word in lines[-1], lines[-1]
    return lines[-1]


def no_display(box: Sandbox) -> str:
    """Exit code 3, one line."""
    done = box.run("lookahead", timeout_s=60)
    assert done.returncode == 3, done.returncode
    return one_sentence(done.stderr, "display")


def at_home(box: Sandbox, name: str) -> Sandbox:
    """The same app with another home."""
    return Sandbox(box.bundle, box.home.parent / name, box.root)


def a_read_only_home(box: Sandbox) -> str:
    """A command says so in one line; the window opens all the same, and tells that nothing is kept."""
    poor = at_home(box, "nur lesbar")
    (poor.home / "bin").mkdir(parents=True)
    mounted(poor.home, ["size=64k"])
    (poor.home / "bin").mkdir()
    _remount_read_only(poor.home)
    done = poor.run("mlx-spec", "generate", QUESTION, timeout_s=60)
    assert done.returncode == 2, done.returncode
    said = one_sentence(done.stderr, "cannot be written to", "LOOKAHEAD_HOME")
    with shown(poor):
        pass
    return said


def a_full_disk_at_first_launch(box: Sandbox) -> str:
    """Not a byte is free: one line from what has to write, and a window that opens."""
    poor = at_home(box, "voll")
    mounted(poor.home, ["size=64k"])
    (poor.home / "bin").mkdir()
    filler = (poor.home / "filler").open("wb", buffering=0)
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError:
        filler.close()
    # Questions need no disk, as the starter lies inside; what does is told what is missing.
    done = poor.run("mlx-spec", "models", "import", str(tiny_file(box)), timeout_s=60)
    assert done.returncode == 2, f"{done.returncode}: {done.stdout} {done.stderr}"
    said = one_sentence(done.stderr, "disk space", "free")
    with shown(poor):
        pass
    return said


def old_and_damaged_settings(box: Sandbox) -> str:
    """Settings of another version, with values of other kinds, and a file that is none."""
    for text in ("[General]\ngeometry=12\nfont=huge\nchat=yes\nraces=[\nfuture=1\n", "\x00\x01 no settings"):
        odd = at_home(box, f"alt {len(text)}")
        folder = odd.home / ".config" / "Lookahead"
        folder.mkdir(parents=True)
        (folder / "window.ini").write_text(text, "utf-8")
        with shown(odd):
            pass
    return good(box.run("lookahead", "--version")).strip()


def started_from_a_read_only_folder(box: Sandbox) -> str:
    """As from a disk image: nothing can be written beside the programs, and nothing has to be."""
    image = box.home.parent / "Abbild, nur lesbar"
    image.mkdir()
    subprocess.run(["mount", "--bind", str(box.bundle), str(image)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(image)], check=True)
    try:
        assert not os.access(image, os.W_OK)
        there = Sandbox(image, box.home, box.root)
        tiny = ("--target", str(tiny_file(box)), "--drafter", "none", "--max-tokens", "4")
        answer = json.loads(good(there.run("mlx-spec", "generate", QUESTION, *tiny, "--json")))
        with shown(there):
            pass
    finally:
        subprocess.run(["umount", str(image)], check=True)
    return f"{len(answer['token_ids'])} tokens of a tiny model"


def _remount_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
