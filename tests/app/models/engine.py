"""The real server for the models window: `python -m tests.app.models.engine PORT PARENT_PID [--target T --draft D]`.

Without a target it serves the tiny random pair, at once; with one it loads it as `mlx-spec serve` does.
"""

import argparse

from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.serve import run_server
from tests.app.tiny_engine import load


def main() -> None:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("parent_pid", type=int)
    parser.add_argument("--target")
    parser.add_argument("--draft")
    parser.add_argument("--pair")
    options = parser.parse_args()
    name = options.target or options.pair

    def load_chosen(progress: Progress) -> tuple[Pair, Decoder]:
        from mlx_spec.decoder import SpeculativeDecoder
        from mlx_spec.models.loading import load_pair

        pair = load_pair(name, options.draft, progress=progress)
        return pair, SpeculativeDecoder(pair)

    chosen = load if name is None else load_chosen
    unloading = Unloading(strip=lambda pair: pair.without_models())
    run_server(chosen, model_name=name or "tiny", port=options.port, parent_pid=options.parent_pid, unloading=unloading)


if __name__ == "__main__":
    main()
