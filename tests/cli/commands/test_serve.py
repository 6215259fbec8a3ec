"""`mlx-spec serve`: what its options become."""

from typing import Any

import pytest

from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.server import serve as serving
from tests.cli.calling import mlx_spec


@pytest.mark.parametrize(
    ("options", "found"), [([], True), (["--prefix-memory", "50"], True), (["--prefix-memory", "0"], False)]
)
def test_what_was_read_is_kept_where_that_is_wanted(
    models: list[str], monkeypatch: pytest.MonkeyPatch, options: list[str], found: bool
) -> None:
    decoders: list[SpeculativeDecoder] = []

    def run_server(load: Any, **_: Any) -> None:
        decoders.append(load(lambda stage, fraction: None)[1])

    monkeypatch.setattr(serving, "run_server", run_server)
    done = mlx_spec("serve", *models, *options)
    assert done.returncode == 0, done.stderr
    [decoder] = decoders
    for _ in range(2):
        list(decoder.stream(list(range(1, 200)), max_tokens=2))
    assert (decoder.prefix_stats().kept_bytes > 0) == found


@pytest.mark.parametrize("command", ["serve", "chat", "run"])
@pytest.mark.parametrize("value", ["-1", "lots", "", "1.5", "nan", "9" * 5000])
def test_a_memory_that_is_none_is_one_sentence(command: str, value: str) -> None:
    files = ["a.prompt.md", "--out", "out"] if command == "run" else []
    done = mlx_spec(command, *files, "--prefix-memory", value)
    assert done.returncode == 2
    assert done.stderr == f"mlx-spec: prefix_memory is {value!r}: it must be a whole number of MB, 0 to keep nothing.\n"


def test_the_help_tells_of_it() -> None:
    for command in ("serve", "chat", "run"):
        assert "--prefix-memory" in mlx_spec(command, "--help").stdout
    assert "--prefix-memory" not in mlx_spec("generate", "--help").stdout
