"""A target that says what was recorded: its passes are made as ever, and then the recorded token is its likeliest.

A small model does not write a file of 60 lines again with three changes. What is measured is how fast one would that
does: drafters see its text and draw for themselves.
"""

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.steering import Steering
from mlx_spec.sampling.penalties import Penalties

# Beyond any logit, with any noise; and a number in half precision.
_CERTAIN: Final = 3e4


class RecordedDecoder(SpeculativeDecoder):
    """Says `said`, token by token and then the end; where that is empty, what the target itself says."""

    said: Sequence[int] = ()

    def begin(self, request: Request, steering: Steering | None = None) -> Answer:
        """As ever, with its words recorded."""
        answer = super().begin(request, steering)
        if self.said:
            said = [*self.said, min(self._pair.eos_token_ids)]
            answer.penalties = _Recorded(request.params, self._pair.vocab_size, said)  # drafters keep their own
        return answer


class _Recorded(Penalties):
    def __init__(self, params: SamplingParams, vocab_size: int, said: Sequence[int]) -> None:
        super().__init__(params, vocab_size)
        self._said, self._at = said, 0

    def push(self, token_ids: Sequence[int]) -> None:
        """As ever; and so much was said."""
        super().push(token_ids)
        self._at += len(token_ids)

    def parts(
        self, logits: mx.array, drafted: mx.array | None = None, seen: mx.array | None = None
    ) -> tuple[mx.array, mx.array | None]:
        """As ever, with the recorded token certain: in a row behind wrong drafts it makes no difference."""
        rows, bias = super().parts(logits, drafted, seen)
        depths = mx.arange(rows.shape[0]) if seen is None else mx.sum(seen.astype(mx.int32), axis=1)
        places = mx.minimum(self._at + depths, len(self._said) - 1)
        token_ids = mx.array(list(self._said), dtype=mx.int32)[places][:, None]
        return mx.put_along_axis(rows, token_ids, mx.array(_CERTAIN, dtype=rows.dtype), axis=-1), bias
