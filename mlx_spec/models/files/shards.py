"""Weights in several files: which of them there must be, by the index beside them or by how they count themselves."""

import json
import re
from collections.abc import Collection
from typing import Final

INDEX: Final = "model.safetensors.index.json"
WHOLE: Final = "model.safetensors"
_COUNTED: Final = re.compile(r"model-\d{5}-of-(\d{5})\.safetensors")


def missing_shards(names: Collection[str], index: str | None) -> list[str]:
    """The files of weights that are not among `names`, though `index`, the index's text, or a name such as
    model-00001-of-00003.safetensors promises them. None is missing beside weights in one file, which is what is loaded
    then: such an index is left over from something else. Raises ValueError for an index that is none.
    """
    if WHOLE in names:
        return []
    if index is not None:
        return sorted(_named_by(index) - set(names))
    totals = {int(found[1]) for name in names if (found := _COUNTED.fullmatch(name))}
    promised = {f"model-{i + 1:05}-of-{total:05}.safetensors" for total in totals for i in range(total)}
    return sorted(promised - set(names))


def _named_by(index: str) -> set[str]:
    try:
        return {str(name) for name in json.loads(index)["weight_map"].values()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{INDEX} does not say which file holds which tensor") from error
