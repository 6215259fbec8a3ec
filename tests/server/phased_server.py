"""`python -m tests.server.phased_server PHASE`: a server over tiny real models that stays in one phase for ever."""

import importlib
import sys
from collections.abc import Iterator

import mlx.core as mx

from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.models.loading import ModelPair
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.serve import run_server
from tests.tiny import pair_of, tiny_llama

# Longer than any test waits: who ends because of it has failed.
NEVER_S = 600.0


class WarmingForEver(SpeculativeDecoder):
    """Warms up again and again."""

    def warm_up(self) -> Iterator[None]:
        """As the real one, and once more."""
        while True:
            yield from super().warm_up()


def load_in(phase: str, progress: Progress) -> tuple[Pair, Decoder]:
    """The pair, or for ever what comes before it."""
    while phase == "importing":
        progress("importing", 0.0)
        sys.modules.pop("wave", None)
        importlib.import_module("wave")
    pair = pair_of(tiny_llama(0), tiny_llama(0), context=100_000)
    while phase == "loading":
        progress("loading", 0.5)
        mx.eval(pair.target.parameters())
    decoder = (WarmingForEver if phase == "warming" else SpeculativeDecoder)(pair)
    while phase == "calibrating":
        SpeculativeDecoder(pair).calibrate(progress)
    return pair, decoder


def main() -> None:
    """Serve until asked to end."""
    phase = sys.argv[1]
    PREFILL_TOKENS[mx.cpu] = 1  # a long prompt takes as many passes as it has tokens
    unloading: Unloading[ModelPair] | None = None
    if phase == "unloaded":
        unloading = Unloading(strip=lambda pair: pair.without_models(), idle_s=0.1, scarce=lambda: False)
    run_server(
        lambda progress: load_in(phase, progress), model_name="tiny", port=0, unloading=unloading, limit_s=NEVER_S
    )


if __name__ == "__main__":
    main()
