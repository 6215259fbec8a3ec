"""Small GGUF files, a small folder made of one, and the starter, which is imported once a session."""

from pathlib import Path

import pytest

from mlx_spec.models.gguf.importing import import_gguf
from mlx_spec.models.starter import ensure_starter_target
from tests.models.gguf.tiny import TinyGGUF, tiny_gguf


@pytest.fixture(scope="session")
def starter_folder(starter_home: Path) -> Path:
    """The imported starter target."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_HOME", str(starter_home))
        return ensure_starter_target()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small GGUF file that imports."""
    return tiny_gguf().write(tmp_path / "tiny.gguf")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """The small model as a folder for mlx-lm."""
    return import_gguf(tiny, tmp_path / "folders" / "tiny", source="test")


@pytest.fixture
def gguf() -> TinyGGUF:
    """The same, not yet written."""
    return tiny_gguf()
