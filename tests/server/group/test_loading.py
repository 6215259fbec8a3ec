"""What is said before anybody is waited for: no split for so many ranks."""

from pathlib import Path

import pytest

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.server.group.loading import found
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama


def test_ranks_that_no_split_allows(tmp_path: Path) -> None:
    target = save_folder(tiny_llama(0), tmp_path / "target")  # two layers of four heads, in two groups
    with pytest.raises(UnsupportedModelError) as error:
        found(target, 3, "auto", "auto")
    assert str(error.value).count("3") >= 2  # neither way
