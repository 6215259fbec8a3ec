"""transformers reads its own files once when it is imported, and finds in them what it found before."""

from pathlib import Path

import transformers
from transformers.utils import import_utils

from mlx_spec.machine.transformers_import import from_its_line

MODELS = Path(transformers.__file__).parent / "models"


def test_no_folder_is_read_twice() -> None:
    told = import_utils.create_import_structure_from_path.cache_info()
    assert told.maxsize is None, "transformers was imported before mlx_spec, or reads otherwise by now"
    folders = [path for path in MODELS.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) > 300
    assert len(folders) <= told.misses <= 1.1 * len(folders), "the top, and a few, go by other names too"


def test_the_names_found_are_the_same() -> None:
    read = import_utils.fetch__all__.__closure__[0].cell_contents
    mended, found = from_its_line(read), 0
    files = sorted(MODELS.glob("*/*.py"))[::60]
    for content in (
        *[path.read_text(encoding="utf-8") for path in files],
        "",
        "a = 1\n",
        "x\n__all__ = ['a', 'b']\ny = 2\n",
    ):
        assert mended(content) == read(content)
        found += len(read(content))
    assert found > 30
    assert mended("__all__ = ['a']") == ["a"]
    assert mended("__all__ = [\n    'old',\n]\n__all__ = [\n    'new',\n]\n") == ["new"]
