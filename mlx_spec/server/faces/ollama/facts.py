"""What Ollama tells of a model: its size, kind and quantisation, as far as its folder says."""

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.served import Pair
from mlx_spec.server.faces.ollama.writer import written
from mlx_spec.server.names import Listed


def listed(model: Listed, pair: Pair | None) -> Json:
    """One entry of /api/tags; `pair` where the model is loaded, or was."""
    used = datetime.fromtimestamp(model.used_s or 0, UTC)
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": written(used),
        "size": size_of(model, pair),
        "digest": hashlib.sha256(f"{model.name} {model.folder}".encode()).hexdigest(),
        "details": details_of(model),
    }


def size_of(model: Listed, pair: Pair | None) -> int:
    """Bytes: what it takes on the disk, or in memory where only that is known."""
    room = getattr(pair, "room", None)
    return model.size_bytes or (room.weights_bytes if room is not None else 0)


def details_of(model: Listed) -> Json:
    """Its kind, by its config.json."""
    config = _config(model)
    family = str(config.get("model_type", ""))
    quantised = config.get("quantization") or config.get("quantization_config")
    bits = quantised.get("bits") if isinstance(quantised, dict) else None
    level = f"{bits}-bit" if bits is not None else str(config.get("torch_dtype") or config.get("dtype") or "")
    return {
        "parent_model": "",
        "format": "mlx",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": "",
        "quantization_level": level,
    }


def shown(model: Listed, pair: Pair | None) -> Json:
    """The answer of /api/show."""
    config = _config(model)
    family = str(config.get("model_type") or "unknown")
    template = getattr(getattr(pair, "tokenizer", None), "chat_template", None)
    context = pair.context_length if pair is not None else config.get("max_position_embeddings")
    info: Json = {"general.architecture": family, "general.basename": model.name}
    wanted = {"context_length": context, "embedding_length": config.get("hidden_size")}
    wanted |= {"block_count": config.get("num_hidden_layers"), "vocab_size": config.get("vocab_size")}
    info |= {f"{family}.{name}": value for name, value in wanted.items() if value is not None}
    return {
        "modelfile": f"FROM {model.name}\n",
        "parameters": "",
        "template": template if isinstance(template, str) else "",
        "details": details_of(model),
        "model_info": info,
        "capabilities": _capabilities(template),
        "modified_at": written(datetime.fromtimestamp(model.used_s or 0, UTC)),
    }


def _capabilities(template: object) -> list[str]:
    """What the template knows."""
    found = template if isinstance(template, str) else ""
    return ["completion", *(["tools"] if "tools" in found else []), *(["thinking"] if "think" in found else [])]


def _config(model: Listed) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        if model.folder is not None:
            found = json.loads((Path(model.folder) / "config.json").read_text("utf-8"))
            return found if isinstance(found, dict) else {}
    return {}
