"""Which kind of head a folder holds, by its configuration and the names of its tensors."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

HeadKind = Literal["eagle3", "eagle", "medusa", "dflash"]


def kind_of(config: Mapping[str, Any], has_tensor: Callable[[str], bool]) -> HeadKind | None:
    """The kind of a head whose config.json is `config`; None for anything else, a language model above all.

    `has_tensor` says whether a tensor's name has such a part; it is asked only where the configuration is silent.
    """
    names = " ".join(str(name) for name in config.get("architectures") or []).lower()
    method = config.get("speculators_model_type")
    if "dflash" in names or "dflash_config" in config:
        return "dflash"
    if "medusa_num_heads" in config or "medusa" in names:
        return "medusa"
    if "eagle3" in names or method == "eagle3" or "draft_vocab_size" in config:
        return "eagle3"
    if "eagle" in names or "eagle" in (method, config.get("model_type")):
        return "eagle"
    # EAGLE-1 was published as a one-layer llama without a word about itself: its `fc` tells.
    return "eagle" if config.get("num_hidden_layers") == 1 and has_tensor("fc.weight") else None
