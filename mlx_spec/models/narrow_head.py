"""A draft that scores only the tokens its target says often (FR-Spec, Zhao et al. 2025, arXiv 2502.14856).

Most of a small draft is its vocabulary: of the starter draft's 17 million weights 12.6 million are read for nothing but
to score 49,152 tokens, nine in ten of which hardly ever occur. What is left out has probability 0 in q, which
no acceptance rule minds.
"""

import json
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.errors import CorruptModelError

FILE: Final = "draft_vocabulary.json"


class NarrowHead(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """A model of mlx-lm's with tied embeddings, whose logits are -inf but for `token_ids`."""

    def __init__(self, model: nn.Module, token_ids: list[int]) -> None:
        super().__init__()
        self.inner = model
        embedding = model.model.embed_tokens
        self._vocab_size = embedding.weight.shape[0]
        # Underscored, so that they are no parameters: they are rows of the model's own.
        self._token_ids = mx.array(token_ids, dtype=mx.uint32)
        self._weight = embedding.weight[self._token_ids]
        self._quantised: dict[str, Any] | None = None
        if isinstance(embedding, nn.QuantizedEmbedding):
            rows = {name: embedding[name][self._token_ids] for name in ("scales", "biases")}
            self._quantised = rows | {"group_size": embedding.group_size, "bits": embedding.bits}
        mx.eval(self._token_ids, self._weight, [v for v in (self._quantised or {}).values() if isinstance(v, mx.array)])

    @property
    def layers(self) -> Any:
        """The model's layers, one cache each."""
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        """Logits `[batch, n, vocab]` of token ids `[batch, n]`."""
        hidden = self.inner.model(inputs, cache=cache)
        if self._quantised is None:
            logits = hidden @ self._weight.T
        else:
            logits = mx.quantized_matmul(hidden, self._weight, **self._quantised, transpose=True)
        everything = mx.full((*logits.shape[:-1], self._vocab_size), -mx.inf, dtype=logits.dtype)
        places = mx.broadcast_to(self._token_ids, logits.shape)
        return mx.put_along_axis(everything, places, logits, axis=-1)


def narrowed(model: nn.Module, folder: Path) -> nn.Module:
    """The model of a folder, narrowed where the folder says so in `draft_vocabulary.json`: `{"token_ids": [...]}`.

    Raises CorruptModelError where the file makes no sense, or the model has no tied embedding to take rows of.
    """
    path = folder / FILE
    if not path.is_file():
        return model
    try:
        token_ids = json.loads(path.read_text(encoding="utf-8"))["token_ids"]
        rows = model.model.embed_tokens.weight.shape[0]
        sound = bool(token_ids) and all(type(i) is int and 0 <= i < rows for i in token_ids)
        if not sound or len(set(token_ids)) != len(token_ids) or not model.args.tie_word_embeddings:
            raise ValueError("its ids are not different rows of a tied embedding")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(
            f"The file {path} does not name tokens of the draft beside it: remove it, or download the draft again.",
            details=repr(error),
        ) from error
    return NarrowHead(model, token_ids)
