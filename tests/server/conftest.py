"""Servers to talk to: one that follows a script, and one with a tiny real model."""

from collections.abc import Iterator

import pytest

from mlx_spec.server.engine.served import Decoder, Pair, Progress
from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair


@pytest.fixture(scope="package")
def one_scripted_server() -> Iterator[tuple[Live, ScriptedDecoder]]:
    """One server for all tests: whatever a test does to it, it must serve the next one."""
    decoder = ScriptedDecoder()
    with live_server(lambda progress: (ScriptedPair(), decoder)) as live:
        yield live, decoder


@pytest.fixture
def script(one_scripted_server: tuple[Live, ScriptedDecoder]) -> Iterator[ScriptedDecoder]:
    """What the scripted server says; a test may change it at any time."""
    _, decoder = one_scripted_server
    decoder.rewind()
    yield decoder
    decoder.gate.set()


@pytest.fixture
def scripted(one_scripted_server: tuple[Live, ScriptedDecoder], script: ScriptedDecoder) -> Live:
    """A server whose decoder follows `script`."""
    return one_scripted_server[0]


@pytest.fixture(scope="package")
def tiny() -> Iterator[Live]:
    """A server with a tiny random model and the real decoder."""

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        from mlx_spec.decoder import SpeculativeDecoder
        from tests.tiny import tiny_pair

        pair = tiny_pair()
        decoder = SpeculativeDecoder(pair)
        decoder.calibrate()
        return pair, decoder

    with live_server(load, model_name="tiny") as live:
        assert wait_until(lambda: live.engine.is_loaded, 60)
        yield live
