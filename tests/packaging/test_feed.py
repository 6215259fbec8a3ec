"""`packaging/feed.py`: a key, a feed signed with it, and that the window's own code believes it."""

import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def feed(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, str(ROOT / "packaging" / "feed.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return (done.stdout if code == 0 else done.stderr).strip()


def test_a_feed_is_signed_and_checked(tmp_path: Path) -> None:
    key, notes, out = tmp_path / "release.key", tmp_path / "ä notes.md", tmp_path / "updates.json"
    notes.write_text("## Größer\n", encoding="utf-8")
    public = feed("key", key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    asked = ("sign", "--key", key, "--version", "0.2.0", "--notes", notes, "--out", out, "--page")
    assert "no HTTPS" in feed(*asked, "http://example.org", code=2)
    assert not out.exists(), "what the window would refuse is not written"
    feed(*asked, "https://example.org/0.2.0")
    assert feed("check", out, "--public-key", public).startswith("0.2.0, ")
    out.write_text(out.read_text("utf-8").replace("0.2.0", "0.3.0"), encoding="utf-8")
    assert "not signed" in feed("check", out, "--public-key", public, code=2)
    assert "File exists" in feed("key", key, code=2), "a key is never written over"
