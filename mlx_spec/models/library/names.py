"""What a person may call a model of the Hub: `owner/name`, or an address that leads to its page."""

import difflib
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from mlx_spec.errors import ModelNotFoundError

_NAME: Final = r"[A-Za-z0-9][\w.-]*"
_HUB_ID: Final = re.compile(f"{_NAME}/{_NAME}")
_NOT_A_MODEL: Final = frozenset({"datasets", "spaces", "docs", "collections", "papers", "models", "api", "kernels"})


def looks_like_hub_id(name: str) -> bool:
    """Return whether `name` has the form `org/model`."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def repo_id_of(name: str) -> str:
    """The `owner/name` in what a person wrote or copied. Raises ModelNotFoundError saying what is expected."""
    text = name.strip()
    if "://" in text or text.startswith(("huggingface.co/", "hf.co/")):
        parts = urlsplit(text if "://" in text else f"https://{text}").path.strip("/").split("/")
        text = "/".join(parts[:2]) if parts[0] not in _NOT_A_MODEL else ""
    if not looks_like_hub_id(text):
        raise ModelNotFoundError(
            f"'{name}' is not a model of the Hub: write owner/name, or copy the address of its page."
        )
    return text


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
