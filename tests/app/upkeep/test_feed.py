"""The signed feed: who signed it, what it says, and what is believed of it."""

import base64
import json
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from app.upkeep.feed import (
    CONTEXT,
    MOST_BYTES,
    FeedError,
    Source,
    envelope,
    is_newer,
    is_safe,
    read_feed,
    read_source,
)
from tests.app.upkeep.publisher import KEY, PUBLIC_KEY, feed


def test_what_was_signed_is_read() -> None:
    release = read_feed(feed("0.9.0", notes="## Größe\n"), PUBLIC_KEY)
    assert (release.version, release.notes, release.page) == ("0.9.0", "## Größe\n", "https://example.org/lookahead")


def test_another_key_and_a_changed_letter_are_refused() -> None:
    with pytest.raises(FeedError, match="not signed"):
        read_feed(feed("0.9.0", key=SigningKey.generate()), PUBLIC_KEY)
    changed = json.loads(feed("0.9.0"))
    changed["payload"] = changed["payload"].replace("0.9.0", "9.9.0")
    with pytest.raises(FeedError, match="not signed"):
        read_feed(json.dumps(changed).encode(), PUBLIC_KEY)


def test_a_signature_for_another_purpose_is_none() -> None:
    payload = json.dumps({"version": "0.9.0", "page": "https://example.org"})
    with pytest.raises(FeedError, match="not signed"):
        read_feed(envelope(payload, KEY.sign(payload.encode()).signature).encode(), PUBLIC_KEY)
    assert read_feed(envelope(payload, KEY.sign(CONTEXT + payload.encode()).signature).encode(), PUBLIC_KEY)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"\xff", b'{"payload": 1, "signature": ""}', b'{"payload": "x", "signature": "??"}',
     b'{"payload": "x", "signature": "AAAA"}', b"<html>sign in to this hotel's network</html>"],
)  # fmt: skip
def test_damage_is_an_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(FeedError):
        read_feed(data, PUBLIC_KEY)


@pytest.mark.parametrize("page", ["http://example.org", "file:///etc/passwd", "javascript:alert(1)", "https://", ""])
def test_a_page_that_no_browser_should_open_is_refused_though_it_was_signed(page: str) -> None:
    with pytest.raises(FeedError, match="no HTTPS"):
        read_feed(feed("0.9.0", page=page), PUBLIC_KEY)


def test_too_much_is_not_read() -> None:
    with pytest.raises(FeedError, match="more than"):
        read_feed(feed("0.9.0", notes="x" * MOST_BYTES), PUBLIC_KEY)


@pytest.mark.parametrize(
    ("version", "current", "newer"),
    [("0.2.0", "0.1.0", True), ("0.10.0", "0.9.0", True), ("0.1.0", "0.1.0", False), ("0.1.0", "0.2.0", False),
     ("0.2.0rc1", "0.1.0", False), ("0.2.0rc2", "0.2.0rc1", True), ("0.2.0", "0.2.0rc1", True),
     ("0.2.0", "", False), ("new!", "0.1.0", False)],
)  # fmt: skip
def test_which_version_comes_later(version: str, current: str, newer: bool) -> None:
    assert is_newer(version, current) is newer


def test_addresses_that_others_could_answer_for() -> None:
    assert is_safe("https://example.org/updates.json")
    assert is_safe("http://127.0.0.1:8000/u")
    assert not is_safe("http://example.org/updates.json")
    assert not is_safe("http://127.0.0.1.example.org/")
    assert not is_safe("http://[broken")


class TestSource:
    def written(self, folder: Path, address: str, key: bytes = PUBLIC_KEY) -> Source | None:
        text = f'feed = "{address}"\npublic_key = "{base64.b64encode(key).decode()}"\n'
        (folder / "updates.toml").write_text(text)
        return read_source(folder)

    def test_what_a_release_names(self, tmp_path: Path) -> None:
        assert self.written(tmp_path, "https://example.org/u") == Source("https://example.org/u", PUBLIC_KEY)

    def test_nothing_that_could_not_be_trusted(self, tmp_path: Path) -> None:
        assert self.written(tmp_path, "http://example.org/u") is None
        assert self.written(tmp_path, "https://example.org/u", b"short") is None
        (tmp_path / "updates.toml").write_text("feed = [")
        assert read_source(tmp_path) is None
        assert read_source(tmp_path / "nowhere") is None
        assert read_source(None) is None

    def test_the_repository_names_none(self) -> None:
        """Nobody here holds a key that the world should trust."""
        from app.look.resources import resources_folder

        assert read_source(resources_folder()) is None
