"""What a person may call a model of the Hub: `owner/name`, `owner/name@revision`, or an address that leads to its page.

A revision is a branch, a tag or a commit. The name with it is the model's name everywhere: in the list of downloads, in
what is installed, in `--target`. `main` is what a name without one means, and is never written.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from mlx_spec.errors import ModelNotFoundError

_NAME: Final = r"[A-Za-z0-9][\w.-]*"
_HUB_ID: Final = re.compile(f"{_NAME}/{_NAME}")
_REVISION: Final = re.compile(rf"{_NAME}(/{_NAME})*")
_ADDRESSES: Final = ("huggingface.co/", "hf.co/")
# The pages of a model that show it at a revision, which comes next in their address.
_AT_REVISION: Final = frozenset({"tree", "blob", "raw", "resolve", "commit", "commits", "edit", "blame"})
_NOT_A_MODEL: Final = frozenset({"datasets", "spaces", "docs", "collections", "papers", "models", "api", "kernels"})


def looks_like_hub_id(name: str) -> bool:
    """Return whether `name` has the form `org/model` or `org/model@revision`."""
    repo_id, revision = split_revision(name)
    is_id = _HUB_ID.fullmatch(repo_id) is not None and ".." not in repo_id and "--" not in repo_id
    # It is a file's name in the cache, too.
    return is_id and (revision is None or (_REVISION.fullmatch(revision) is not None and ".." not in revision))


def is_address(name: str) -> bool:
    """Return whether `name` is the address of a page rather than a name."""
    return name.startswith(("http://", "https://", *_ADDRESSES))


def short_name(repo_id: str) -> str:
    """A model's name without its owner, with the revision where one is named."""
    return repo_id.partition("/")[2]


def split_revision(name: str) -> tuple[str, str | None]:
    """A model's `owner/name`, and the revision that its name says; None for `main`."""
    repo_id, at, revision = name.partition("@")
    return repo_id, revision if at and revision != "main" else None


def repo_id_of(name: str) -> str:
    """The `owner/name` or `owner/name@revision` in what a person wrote or copied. Raises ModelNotFoundError saying what
    is expected."""
    text = name.strip()
    if "://" in text or is_address(text):
        text = _id_in_address(text)
    if not looks_like_hub_id(text):
        raise ModelNotFoundError(
            f"'{name}' is not a model of the Hub: write owner/name or owner/name@revision, or copy its page's address."
        )
    repo_id, revision = split_revision(text)
    return repo_id if revision is None else f"{repo_id}@{revision}"


def _id_in_address(address: str) -> str:
    parts = urlsplit(address if "://" in address else f"https://{address}").path.strip("/").split("/")
    if parts[0] in _NOT_A_MODEL:
        return ""
    # A slash inside a revision is written %2F there, so that it ends with the next slash.
    revision = unquote(parts[3]) if len(parts) > 3 and parts[2] in _AT_REVISION else "main"
    return f"{'/'.join(parts[:2])}@{revision}"


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Those of `known` that a person who typed `name` may have meant, the nearest first; upper case does not matter."""
    by_folded: dict[str, str] = {}
    for one in known:
        by_folded.setdefault(one.casefold(), one)
        # The owner is often what is misremembered.
        by_folded.setdefault(one.rpartition("/")[2].casefold(), one)
    folded = name.casefold()
    near = difflib.get_close_matches(folded, by_folded, n=3 * count, cutoff=0.6)
    near += difflib.get_close_matches(folded.rpartition("/")[2], by_folded, n=3 * count, cutoff=0.7)
    return list(dict.fromkeys(by_folded[one] for one in near))[:count]
