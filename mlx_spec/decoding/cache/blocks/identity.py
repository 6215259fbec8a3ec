"""By what it is told whether what another process has read of a text is what this one would have read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

import mlx.nn as nn

from mlx_spec.models.identity import circumstances
from mlx_spec.prompt_passes import PromptPasses

FORMAT: Final = 5
"""To be raised whenever blocks are written in another way, or our own code makes other keys and values of a text."""


def identity_of(
    content: str | None,
    models: Sequence[nn.Module | None],
    *,
    passes: PromptPasses,
    kv_bits: int | None = None,
    kv_group_size: int | None = None,
) -> str | None:
    """A hash of all that keys, values and states of a text depend on: a pair's files, which `content` stands for, its
    models as they are loaded, the libraries and the machine, the passes in which prompts are read, and the
    bits and groups of a quantised cache. It is the name of a folder. None where the files are not known: then nothing
    is kept on disk."""
    if content is None:
        return None
    facts = [FORMAT, content, astuple(passes), kv_bits, kv_group_size, circumstances(models)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
