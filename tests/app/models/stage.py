"""A window whose engine is the real server, beside a loopback Hub with models of every kind."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from app.engine.process import EngineProcess
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from mlx_spec.models.gguf.importing import import_gguf
from tests.app.closing import close_for_good
from tests.hub.contents import HubFile, HubModel, folder_model, heavy_model, hub_file
from tests.hub.loopback import LoopbackHub, serving
from tests.models.gguf.tiny import tiny_gguf

ROOT = Path(__file__).parents[3]
SMALL, HEAVY, HUGE, GATED = "org/Tiny-4bit", "mlx-community/Qwen3-8B-4bit", "org/Huge-4bit", "org/Secret-8bit"
DRAFT = "mlx-community/Qwen3-0.6B-4bit"
STRANGE = "org/Strange-4bit"
OTHER = "org/Other-4bit"  # arrives whole, and is no model that loads
LONG = "a-publisher-of-models/An-Uncommonly-Long-Name-For-A-Model-Distilled-Twice-And-Then-Merged-Instruct-v0.3-6bit"
_FACTS = {"downloads": 120_000, "cardData": {"license": "apache-2.0"}}


def models_engine(port: int, parent_pid: int) -> list[str]:
    """The command of tests/app/models_engine.py; what is to be loaded is added to it."""
    return [sys.executable, "-m", "tests.app.models.engine", str(port), str(parent_pid)]


def hub_models(folder: Path) -> dict[str, HubModel]:
    """What the loopback Hub has. `folder` is for what is made on the way."""
    tiny = import_gguf(tiny_gguf().write(folder / "tiny.gguf"), folder / "tiny", source="test")
    return {
        SMALL: folder_model(tiny, facts=dict(_FACTS)),
        OTHER: HubModel(heavy_model(300_000, files=2).files),
        HEAVY: _qwen3(4_608_000_000, 36, 4096, 12_288),
        "mlx-community/Qwen3-8B-8bit": _qwen3(8_705_000_000, 36, 4096, 12_288),
        DRAFT: _qwen3(335_000_000, 28, 1024, 3072),
        HUGE: _qwen3(400_000_000_000, 94, 8192, 24_576),
        GATED: HubModel(heavy_model(2_000_000).files, gated=True),
        STRANGE: HubModel(heavy_model(500_000, model_type="squid").files),
        LONG: heavy_model(500_000),
    }


def _qwen3(size: int, layers: int, hidden: int, inner: int) -> HubModel:
    """A model as large as a real one. Nobody reads its weights to the end: their checksum is made up."""
    config = {
        "model_type": "qwen3", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "rms_norm_eps": 1e-6,
        "vocab_size": 151_936, "rope_theta": 1e6, "max_position_embeddings": 40_960, "tie_word_embeddings": False,
    }  # fmt: skip
    weights = HubFile(b"", size, True, f"{size:064x}", f"{size:040x}")
    files = {"config.json": hub_file(json.dumps(config).encode()), "tokenizer.json": hub_file(b"{}")}
    return HubModel(files | {"model.safetensors": weights}, facts=dict(_FACTS))


def settings_of(folder: Path, hub: LoopbackHub) -> dict[str, str]:
    """The environment of an engine with its data and cache in `folder`."""
    return {
        "LOOKAHEAD_HOME": str(folder / "home"),
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_ENDPOINT": hub.endpoint,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def window_with_hub(folder: Path) -> Iterator[tuple[MainWindow, LoopbackHub]]:
    """The whole window, its engine not yet ready, and the Hub that the engine asks. Data and cache are in `folder`."""
    (folder / "home").mkdir(exist_ok=True)
    with serving(hub_models(folder)) as hub, patch.dict(os.environ, settings_of(folder, hub)):
        engine = EngineProcess(models_engine, backoff_ms=(50,))
        store = Store(folder / "chats.sqlite3")
        window = build_window(engine, WindowMemory(folder / "window.ini"), store)
        window.show()
        engine.start()
        try:
            yield window, hub
        finally:
            close_for_good(window)
