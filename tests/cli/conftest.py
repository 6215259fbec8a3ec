"""Models for commands."""

import pytest

from tests.cli.folders import pair_folders


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name a tiny pair."""
    target, draft = pair_folders(tmp_path_factory.mktemp("models"))
    return ["--target", target, "--draft", draft]
