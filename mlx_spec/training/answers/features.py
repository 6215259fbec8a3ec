"""The target's hidden states of a corpus, computed once and kept on disk. NumPy only; whoever runs the target hands
over a function.

A head reads several layers at every position, prompts included: 3.5 kB a token for the starter target, more than
memory holds, and as dear to compute as a step of training. A dialogue's states are computed when they are first asked
for, and read back from then on, also after training was stopped and started again.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import StorageError
from mlx_spec.training.answers.corpus import Sample

ComputeFeatures = Callable[[NDArray[np.int32]], NDArray[np.uint16]]
"""ids `[rows, length]` → bfloat16 bits `[rows, length, width]`."""


class FeatureStore:
    """States `[tokens, width]` of all dialogues, in one sparse file that grows as dialogues are first read."""

    def __init__(
        self, samples: Sequence[Sample], taps: tuple[int, ...], width: int, folder: Path, compute: ComputeFeatures
    ) -> None:
        """Open or begin the file in `folder`; one that was begun for other dialogues or layers has another name.
        Raises StorageError."""
        self._samples, self._compute = samples, compute
        self._starts = np.concatenate([[0], np.cumsum([len(sample.ids) for sample in samples])])
        mark = zlib.crc32(np.concatenate([sample.ids for sample in samples]).tobytes())
        path = folder / f"layers-{'-'.join(map(str, taps))}-{mark:08x}.bin"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._states = np.memmap(path, np.uint16, _mode(path), shape=(int(self._starts[-1]), width))
            # Written after the states, so that a dialogue that was cut short is computed again.
            known = path.with_suffix(".known")
            self._known = np.memmap(known, np.uint8, _mode(known), shape=(len(samples),))
        except (OSError, ValueError) as error:
            raise StorageError(f"The hidden states cannot be kept in {path}: {error}.") from error

    def ready(self) -> NDArray[np.int64]:
        """The dialogues whose states are there; another process may be adding to them."""
        return np.flatnonzero(self._known)

    def fill(self, indices: Sequence[int]) -> None:
        """Compute and keep the states of some dialogues."""
        ids = np.zeros((len(indices), max(len(self._samples[index].ids) for index in indices)), np.int32)
        for row, index in enumerate(indices):
            ids[row, : len(self._samples[index].ids)] = self._samples[index].ids
        self._keep(indices, self._compute(ids))

    def _keep(self, indices: Sequence[int], states: NDArray[np.uint16]) -> None:
        for row, index in enumerate(indices):
            begin, end = self._starts[index], self._starts[index + 1]
            self._states[begin:end] = states[row, : end - begin]
            self._known[index] = 1

    def read(self, indices: Sequence[int], ids: NDArray[np.int32]) -> NDArray[np.uint16]:
        """States `[rows, length, width]` of some dialogues, whose padded ids are `[rows, length]`."""
        if not all(self._known[index] for index in indices):
            states = self._compute(ids)
            self._keep(indices, states)
            return states
        states = np.zeros((*ids.shape, self._states.shape[1]), np.uint16)
        for row, index in enumerate(indices):
            begin, end = self._starts[index], self._starts[index + 1]
            states[row, : end - begin] = self._states[begin:end]
        return states


def _mode(path: Path) -> Literal["r+", "w+"]:
    return "r+" if path.exists() else "w+"
