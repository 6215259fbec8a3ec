"""The tokenizer in a model's folder, with the chat template that lies there, wherever it is kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.files.reasons import lacks_package, reason

# Names of templates for something else than talking.
_SPECIAL_PURPOSES: Final = ("tool", "rag", "image", "video")


def read_tokenizer(folder: Path, config: Mapping[str, Any], end_token_ids: Any) -> TokenizerWrapper:
    """Read the tokenizer in a folder whose config.json is `config`; `end_token_ids`, one or several, end an answer.

    With None, the tokenizer's own does. Raises CorruptModelError, UnsupportedModelError.
    """
    try:
        # Told not to, transformers neither runs a model's own code nor asks on the terminal whether it may.
        options = {"trust_remote_code": False}
        tokenizer = load_tokenizer(folder, options, eos_token_ids=end_token_ids)
        template = _one(tokenizer.chat_template) or _one(_beside(folder))
    except SystemExit as error:
        raise lacks_package(folder, config) from error
    except Exception as error:  # transformers and tokenizers raise anything, bare Exception included
        message = f"The tokenizer in {folder} cannot be loaded ({reason(error)})."
        raise CorruptModelError(message, details=repr(error)) from error
    tokenizer.chat_template = template
    tokenizer.has_chat_template = template is not None or tokenizer._chat_template is not None
    return tokenizer


def _beside(folder: Path) -> Any:
    """The template of `chat_template.json`, as models that also see pictures have it; None without that file."""
    file = folder / "chat_template.json"
    return json.loads(file.read_text(encoding="utf-8")).get("chat_template") if file.is_file() else None


def _one(template: Any) -> str | None:
    """The template to talk by, of one or several by name; an empty one is none."""
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}
    if isinstance(template, dict):
        names = sorted(template, key=lambda name: (name != "default", any(kind in name for kind in _SPECIAL_PURPOSES)))
        template = template[names[0]] if names else None
    return template if isinstance(template, str) and template.strip() else None
