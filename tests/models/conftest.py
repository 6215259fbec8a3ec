"""A data folder of its own for every test here; the starter is imported once a session, into a shared one."""

from pathlib import Path

import pytest

from mlx_spec.models.starter import ensure_starter_target
from tests.models.tiny_gguf import TinyGGUF, tiny_gguf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's data folder, empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LOOKAHEAD_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def starter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The imported starter target."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_HOME", str(tmp_path_factory.mktemp("starter-home")))
        return ensure_starter_target()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small GGUF file that imports."""
    return tiny_gguf().write(tmp_path / "tiny.gguf")


@pytest.fixture
def gguf() -> TinyGGUF:
    """The same, not yet written."""
    return tiny_gguf()
