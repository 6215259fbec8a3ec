"""The real server over tiny random models, as a process: `python -m tests.app.tiny_engine PORT PARENT_PID`."""

import sys

from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.serve import run_server


def load(progress: Progress) -> tuple[Pair, Decoder]:
    """On the engine's own thread, as MLX wants it."""
    from mlx_spec.config import SpeculativeConfig
    from mlx_spec.decoder import SpeculativeDecoder
    from tests.tiny import tiny_pair

    pair = tiny_pair(closeness=0.97)
    return pair, SpeculativeDecoder(pair, SpeculativeConfig(lookahead=4))


if __name__ == "__main__":
    run_server(load, model_name="tiny", port=int(sys.argv[1]), parent_pid=int(sys.argv[2]))
