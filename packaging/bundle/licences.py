"""The licences of everything inside the app, as its owners wrote them: a folder with its name for each package."""

import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_FILES = re.compile("licen[cs]e|copying|notice|authors", re.IGNORECASE)
# These publish no text with their wheels; what they say of themselves names one that lies in resources/LICENSES.
_TEXTS = {
    "sentencepiece": ("Apache-2.0.txt",),
    "tokenizers": ("Apache-2.0.txt",),
    "PySide6_Essentials": ("LGPL-3.0.txt", "GPL-3.0.txt"),
    "shiboken6": ("LGPL-3.0.txt", "GPL-3.0.txt"),
}


def licence_files(packages: Iterable[str], texts: Path) -> list[tuple[str, str]]:
    """(file, folder inside the app) for the packages with these import names. Raises LookupError for one without any.

    `texts` is the folder of the licences that we keep.
    """
    owners = importlib.metadata.packages_distributions()
    names = sorted({name for package in packages for name in owners.get(package, ())})
    found = [(str(_of_python()), "resources/LICENSES/libraries/Python")]
    for name in names:
        own = [
            file
            for file in importlib.metadata.files(name) or ()
            if ".dist-info" in str(file) and _FILES.search(file.name)
        ]
        # Some bring several of one name, in folders.
        files = [(str(file.locate()), str(file).partition(".dist-info/")[2].rpartition("/")[0]) for file in own]
        files = files or [(str(texts / text), "") for text in _TEXTS.get(name, ())]
        if not files:
            raise LookupError(f"{name} comes with no licence: name its text in packaging/bundle/licences.py")
        found += [(file, f"resources/LICENSES/libraries/{name}/{folder}".rstrip("/")) for file, folder in files]
    return found


def _of_python() -> Path:
    """The interpreter's own, which Debian keeps elsewhere. Raises LookupError."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = (Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", Path(f"/usr/share/doc/{version}/copyright"))
    for place in places:
        if place.is_file():
            return place
    raise LookupError(f"{version} comes with no licence in {places[0].parent}: use one that does")
