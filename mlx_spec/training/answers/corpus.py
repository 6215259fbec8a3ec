"""Sampled dialogues on disk, as shards of plain NumPy arrays. Both backends write and read the same files.

A shard keeps, for every answer position, the target's final hidden state: one matmul with the target's embedding
gives back the whole teacher distribution, so distilling and measuring never run the target again.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import StorageError, TrainingError
from mlx_spec.training.answers.dialogue import Dialogue

HELD_OUT_OF = 40
"""One prompt in so many is held out, by a hash of its first question: a prompt is never on both sides."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One dialogue: ids `[n]`, answer flags `[n]`, the target's final hidden states `[sum(answer), hidden]` as
    bfloat16 bits.

    `hidden[j]` was computed just before the j-th answer id, so it predicts that id.
    """

    ids: NDArray[np.int32]
    answer: NDArray[np.bool_]
    hidden: NDArray[np.uint16]
    temperature: float
    held_out: bool

    @property
    def question(self) -> NDArray[np.int32]:
        """The ids before the first answer `[m]`: what the target was asked first, in its chat template."""
        return self.ids[: int(np.argmax(self.answer))]


def is_held_out(question: tuple[int, ...]) -> bool:
    """Which side of the split a first question falls on."""
    return zlib.crc32(np.asarray(question, np.int32).tobytes()) % HELD_OUT_OF == 0


def to_sample(dialogue: Dialogue) -> Sample:
    """Freeze a finished dialogue."""
    first_answer = dialogue.answer.index(True)
    question = tuple(dialogue.ids[len(dialogue.template.opening) : first_answer])
    return Sample(
        ids=np.asarray(dialogue.ids, np.int32),
        answer=np.asarray(dialogue.answer, np.bool_),
        hidden=np.stack(dialogue.hidden),
        temperature=dialogue.temperature,
        held_out=is_held_out(question),
    )


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` is kept."""
    return folder / f"shard-{index:04d}.npz"


def shard_paths(folder: Path) -> list[Path]:
    """All shards below a folder: several samplers may have written side by side, each into a folder of its own."""
    return sorted(folder.rglob("shard-*.npz"))


def write_shard(path: Path, samples: list[Sample]) -> None:
    """Write the dialogues of a shard, one behind the other: whole or not at all, so that whatever exists can be kept on
    resuming. Raises StorageError."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                ids=np.concatenate([sample.ids for sample in samples]),
                answer=np.concatenate([sample.answer for sample in samples]),
                hidden=np.concatenate([sample.hidden for sample in samples]),
                lengths=np.asarray([len(sample.ids) for sample in samples], np.int32),
                temperature=np.asarray([sample.temperature for sample in samples], np.float32),
                held_out=np.asarray([sample.held_out for sample in samples], np.bool_),
            )
        partial.rename(path)
    except OSError as error:
        raise StorageError(f"The corpus file {path} cannot be written: {error.strerror}.") from error


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Some arrays of a shard. Raises TrainingError where it is damaged."""
    try:
        # Opened here: where the content is no archive, np.load would leave its own file open.
        with path.open("rb") as file, np.load(file) as archive:
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(f"The corpus file {path} cannot be read: delete it and run the recipe again.") from error


def read_shard(path: Path) -> list[Sample]:
    """The dialogues of a shard, as views into its arrays."""
    shard = read_arrays(path, "ids", "answer", "hidden", "lengths", "temperature", "held_out")
    ends = np.cumsum(shard["lengths"])
    answers = np.concatenate([[0], np.cumsum(shard["answer"])])
    samples = []
    for index, (start, end) in enumerate(zip(ends - shard["lengths"], ends, strict=True)):
        part = slice(answers[start], answers[end])
        samples.append(
            Sample(
                ids=shard["ids"][start:end],
                answer=shard["answer"][start:end],
                hidden=shard["hidden"][part],
                temperature=float(shard["temperature"][index]),
                held_out=bool(shard["held_out"][index]),
            )
        )
    return samples


class Corpus:
    """The dialogues below a folder. A shard is read once: asked again, it looks for those that came meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[Path, list[Sample]] = {}

    def read(self) -> tuple[list[Sample], list[Sample]]:
        """All training dialogues and all held-out ones. Raises TrainingError where one side is empty."""
        for path in shard_paths(self._folder):
            if path not in self._shards:
                self._shards[path] = read_shard(path)
        samples = [sample for path in sorted(self._shards) for sample in self._shards[path]]
        training = [sample for sample in samples if not sample.held_out]
        held_out = [sample for sample in samples if sample.held_out]
        if not training or not held_out:
            raise TrainingError(
                f"The corpus in {self._folder} has {len(samples)} dialogues, too few to train and to measure on."
            )
        return training, held_out


def read_corpus(folder: Path) -> tuple[list[Sample], list[Sample]]:
    """`Corpus.read`, once."""
    return Corpus(folder).read()


def count_answers(samples: list[Sample]) -> int:
    """How many answer tokens the dialogues hold."""
    return sum(len(sample.hidden) for sample in samples)


def count_stored(paths: list[Path]) -> int:
    """How many answer tokens some shards hold; their hidden states stay on disk."""
    return sum(int(read_arrays(path, "answer")["answer"].sum()) for path in paths)


def frequent_tokens(samples: list[Sample], count: int) -> NDArray[np.int64]:
    """The `count` ids most frequent in the answers, ascending; fewer where fewer occur."""
    counts = np.bincount(np.concatenate([sample.ids[sample.answer] for sample in samples]))
    likeliest = np.argsort(-counts, kind="stable")[:count]
    return np.sort(likeliest[counts[likeliest] > 0])
