"""Fixtures for all tests: a data folder of their own, and the CPU."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# The same examples every time, and no clock: a slow machine must not fail a test.
settings.register_profile("lookahead", deadline=None, derandomize=True)
settings.load_profile("lookahead")


@pytest.fixture(autouse=True)
def lookahead_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own data: `$LOOKAHEAD_HOME` is a new folder for each."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LOOKAHEAD_HOME", str(folder))
    return folder
