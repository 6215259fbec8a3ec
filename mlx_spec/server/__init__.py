"""The local OpenAI-compatible server: see docs/PROTOCOL.md. `serve` is `mlx-spec serve`."""

from mlx_spec.server.api import create_app
from mlx_spec.server.engine.thread import EngineThread
from mlx_spec.server.serve import run_server, serve

__all__ = ["EngineThread", "create_app", "run_server", "serve"]
