"""Fixtures for all tests: a data folder of their own, and the CPU."""

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from hypothesis import settings

from mlx_spec.models.loading import ModelPair, load_pair
from mlx_spec.models.starter import ensure_starter_target
from tests.in_turn import thinned
from tests.unfused import fusing

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# The same examples every time, and no clock: a slow machine must not fail a test.
settings.register_profile("lookahead", deadline=None, derandomize=True)
settings.load_profile("lookahead")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of every family under every setting are thinned, unless somebody wants all of them, or names one."""
    named = config.option.keyword or any("::" in argument for argument in config.args)
    if os.environ.get("LOOKAHEAD_EVERY_TEST") != "1" and not named:
        items[:], left_out = thinned(items)
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """What was imported stays: each look for garbage through all of it takes a quarter of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def qapp_cls() -> type:
    """The product's own application object, for whoever shows anything: a process has but one."""
    from app.window.application import Application

    return Application


@pytest.fixture(scope="session")
def starter_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder into which the starter target is imported, once a session."""
    folder = tmp_path_factory.mktemp("starter-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_HOME", str(folder))
        ensure_starter_target()
    return folder


@pytest.fixture(scope="session")
def starter_pair(starter_home: Path) -> ModelPair:
    """The real starter pair, loaded once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_HOME", str(starter_home))
        return load_pair("starter")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_fused() -> Iterator[None]:
    """On a CPU, MLX has the C++ compiler make each fused kernel: minutes, for nothing that most tests ask."""
    with fusing(mx.default_device() == mx.Device(mx.gpu)):
        yield


@pytest.fixture
def fused() -> Iterator[None]:
    """As users have it."""
    with fusing(True):
        yield


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new folder each time: pytest's own look through all there are for the next number."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def lookahead_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own data: `$LOOKAHEAD_HOME` is a new folder for each."""
    folder = next(homes)
    folder.mkdir()
    monkeypatch.setenv("LOOKAHEAD_HOME", str(folder))
    # Nor their models, their tokens or their keychain; and no test asks the real Hub.
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return folder
