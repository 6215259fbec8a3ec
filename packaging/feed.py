"""The feed of newer versions: makes a key, signs a feed, checks one. `python packaging/feed.py key|sign|check --help`.

The private key belongs to whoever releases, and lies nowhere in this repository. What is written is read once more with
the window's own code before the command succeeds.
"""

import argparse
import base64
import datetime
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nacl.signing import SigningKey

from app.upkeep.feed import CONTEXT, FeedError, Release, envelope, read_feed


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns 0, or 2 with a sentence on stderr."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (FeedError, OSError, ValueError) as error:
        sys.stderr.write(f"feed: {error}\n")
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the three commands."""
    whole = argparse.ArgumentParser(prog="feed", description=__doc__)
    commands = whole.add_subparsers(required=True)
    key = commands.add_parser("key", help="make a new private key, and print the public one")
    key.add_argument("file", type=Path)
    key.set_defaults(run=_make_key)
    sign = commands.add_parser("sign", help="write a signed feed that announces a version")
    sign.add_argument("--key", type=Path, required=True, help="the private key's file")
    sign.add_argument("--version", required=True)
    sign.add_argument("--notes", type=Path, required=True, help="what is new, as markdown")
    sign.add_argument("--page", required=True, help="the HTTPS page to download from")
    sign.add_argument("--published", default=datetime.date.today().isoformat())
    sign.add_argument("--out", type=Path, required=True)
    sign.set_defaults(run=_sign)
    check = commands.add_parser("check", help="tell what a feed announces, if its signature is right")
    check.add_argument("file", type=Path)
    check.add_argument("--public-key", required=True, help="as `key` printed it")
    check.set_defaults(run=_check)
    return whole


def _make_key(options: argparse.Namespace) -> None:
    """An existing file is never written over: feeds signed with a lost key reach nobody."""
    key = SigningKey.generate()
    descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(bytes(key)) + b"\n")
    sys.stdout.write(base64.b64encode(bytes(key.verify_key)).decode() + "\n")


def _sign(options: argparse.Namespace) -> None:
    key = SigningKey(base64.b64decode(options.key.read_text(encoding="ascii").strip(), validate=True))
    notes = options.notes.read_text(encoding="utf-8")
    told = {"version": options.version, "published": options.published, "page": options.page, "notes": notes}
    payload = json.dumps(told, ensure_ascii=False)
    feed = envelope(payload, key.sign(CONTEXT + payload.encode()).signature)
    read_feed(feed.encode(), bytes(key.verify_key))
    options.out.write_text(feed, encoding="utf-8")
    sys.stdout.write(f"{options.out}: {options.version}\n")


def _check(options: argparse.Namespace) -> None:
    public_key = base64.b64decode(options.public_key, validate=True)
    release: Release = read_feed(options.file.read_bytes(), public_key)
    sys.stdout.write(f"{release.version}, {release.published}, {release.page}\n")


if __name__ == "__main__":
    sys.exit(main())
