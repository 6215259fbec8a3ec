"""`packaging/feed.py`: a key, a feed signed with it, and that the window's own code believes it."""

import importlib.util
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "packaging" / "feed.py"
Feed = Callable[..., str]


@pytest.fixture
def feed(capsys: pytest.CaptureFixture[str]) -> Feed:
    """Call it; what it wrote, to stderr where it is to fail."""
    spec = importlib.util.spec_from_file_location("feed_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*arguments: object, code: int = 0) -> str:
        assert module.main([str(argument) for argument in arguments]) == code
        written = capsys.readouterr()
        return (written.out if code == 0 else written.err).strip()

    return call


def test_a_feed_is_signed_and_checked(feed: Feed, tmp_path: Path) -> None:
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
