"""A wheel from a Python package index, as pip would take it: no pip is needed, and what has arrived is told.

The index is `$PIP_INDEX_URL`, else `$UV_DEFAULT_INDEX`, else PyPI; it is asked for the simple API in JSON (PEP 691).
"""

import hashlib
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from mlx_spec.models.progress import Progress

PYPI: Final = "https://pypi.org/simple"
_ACCEPT: Final = "application/vnd.pypi.simple.v1+json"
_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)


def index_address() -> str:
    """Where packages are asked for."""
    return (os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_DEFAULT_INDEX") or PYPI).rstrip("/")


def fetch_wheel(package: str, version: str, folder: Path, progress: Progress) -> Path:
    """Fetch a package's one wheel for every machine into `folder`, and compare it with the index's checksum.

    Raises httpx2.HTTPError where the index cannot be reached or refuses, ValueError where it lacks the file or the
    bytes are not those that it promised, OSError where they cannot be written.
    """
    with httpx2.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        page = f"{index_address()}/{package}/"
        told = client.get(page, headers={"Accept": _ACCEPT})
        told.raise_for_status()
        wheel = _wheel_of(told.json(), f"{package.replace('-', '_')}-{version}-py3-none-any.whl")
        path = folder / Path(wheel["filename"]).name
        digest = hashlib.sha256()
        with client.stream("GET", urljoin(str(told.url), wheel["url"])) as answer, path.open("wb") as file:
            answer.raise_for_status()
            length = int(answer.headers.get("content-length") or wheel.get("size") or 0)
            arrived = 0
            for piece in answer.iter_bytes():
                file.write(piece)
                digest.update(piece)
                arrived += len(piece)
                progress("downloading", min(1.0, arrived / length) if length else 0.0)
    if digest.hexdigest() != wheel["hashes"]["sha256"]:
        path.unlink()
        raise ValueError(f"{path.name} arrived with another checksum than the index gives for it")
    return path


def _wheel_of(page: Any, name: str) -> dict[str, Any]:
    """The entry of a file on a package's page."""
    files = page.get("files", ()) if isinstance(page, dict) else ()
    found = next((file for file in files if file.get("filename") == name), None)
    if found is None or not found.get("hashes", {}).get("sha256"):
        raise ValueError(f"the index has no {name}")
    return dict(found)
