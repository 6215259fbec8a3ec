"""A model's folder as one value: what is in it, read when it is first asked for, and once. It needs no MLX."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlx_spec.errors import CorruptModelError, ModelError, ModelNotFoundError
from mlx_spec.models.files.config import CONFIG, GENERATION, read_json
from mlx_spec.models.files.context import context_length, context_of
from mlx_spec.models.files.head_kind import HeadKind, kind_of
from mlx_spec.models.files.rope import with_rope
from mlx_spec.models.files.sampling_defaults import sampling_defaults
from mlx_spec.models.files.shards import INDEX, missing_shards
from mlx_spec.models.files.tensors import TensorFile, read_tensor_file

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

TORCH_FILE: Final = "pytorch_model.bin"
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")
_READ: Final = frozenset({".json", ".jinja", ".model", ".safetensors", ".tiktoken", ".txt"})
# As much of a file of PyTorch's as names its tensors: a ZIP archive's first member.
_TORCH_NAMES_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class ModelFolder:
    """A folder in mlx-lm's layout, or one of a published head; `name` is what people are told it is called.

    What was read once is what all who are handed this value go by, also where the files change meanwhile. Two of the
    same path and name are equal. Every property raises CorruptModelError for a file that cannot be read.
    """

    path: Path
    name: str
    _tensor_files: dict[Path, TensorFile] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def at(cls, path: Path) -> "ModelFolder":
        """The folder at `path`, called as that is."""
        return cls(path, path.resolve().name)

    @cached_property
    def written(self) -> Mapping[str, Any] | None:
        """config.json as it was written, empty for one that is no object; None without one."""
        config = read_json(self.path / CONFIG)
        return config if config is None or isinstance(config, dict) else {}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """config.json. How it turns positions stands in the fields that mlx-lm reads, however it was written.

        Raises ModelError when it is missing, CorruptModelError when it is damaged. Who hands it to mlx-lm hands over a
        copy: some of its families write into it.
        """
        if self.written is None:
            raise ModelError(f"The model folder {self.path} has no configuration: {CONFIG} is missing.")
        if not isinstance(self.written.get("model_type"), str):
            raise CorruptModelError(f"{self.path / CONFIG} does not say which model_type it is.")
        return with_rope(self.written)

    @cached_property
    def generation(self) -> Mapping[str, Any]:
        """generation_config.json, empty without one."""
        said = read_json(self.path / GENERATION)
        if said is not None and not isinstance(said, dict):
            raise CorruptModelError(f"{self.path / GENERATION} cannot be read (it holds no object).")
        return said or {}

    @property
    def end_token_ids(self) -> Any:
        """The id or ids that end an answer, as mlx-lm takes them; None where neither file says."""
        own = self.generation.get("eos_token_id")
        return own if own is not None else self.config.get("eos_token_id")

    @property
    def sampling(self) -> dict[str, float]:
        """How its makers say that its tokens are drawn; nothing where that cannot be read."""
        try:
            return sampling_defaults(self.generation)
        except CorruptModelError:
            return {}  # a recommendation is no reason to refuse a model

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The files that hold its weights for mlx-lm, by name."""
        return tuple(sorted(self.path.glob("model*.safetensors")))

    @cached_property
    def weights_bytes(self) -> int:
        """Bytes of these files. Raises CorruptModelError for a link that leads nowhere."""
        self._check_links()
        return sum(file.stat().st_size for file in self.weights)

    def tensors(self, file: Path) -> TensorFile:
        """The head of one of its .safetensors files."""
        if file not in self._tensor_files:
            self._tensor_files[file] = read_tensor_file(file)
        return self._tensor_files[file]

    @cached_property
    def head_kind(self) -> HeadKind | None:
        """Which kind of head it holds, told without its weights; None for anything else."""
        return kind_of(self.written, self._has_tensor) if self.written is not None else None

    @cached_property
    def heads(self) -> "tuple[ModelFolder, ...]":
        """The heads in a draft's folder: the folder itself, or some that lie in it beside the draft."""
        if not self.path.is_dir():
            return ()
        beside = [ModelFolder.at(path) for path in sorted(self.path.iterdir()) if path.is_dir()]
        return tuple(place for place in (self, *beside) if place.head_kind is not None)

    @property
    def has_tokenizer(self) -> bool:
        """Whether one of the files that make a tokenizer is there."""
        return any((self.path / name).is_file() for name in _TOKENIZER_FILES)

    @cached_property
    def tokenizer(self) -> "TokenizerWrapper":
        """Its tokenizer, with the chat template. Raises CorruptModelError, UnsupportedModelError."""
        from mlx_spec.models.text.tokenizer import read_tokenizer  # which brings MLX

        return read_tokenizer(self.path, self.config, self.end_token_ids)

    @property
    def longest_context(self) -> int | None:
        """The tokens that its configuration says it was made for; None where it does not say."""
        return context_of(self.config)

    @property
    def context_length(self) -> int | None:
        """The same, or else what its tokenizer says."""
        return context_length(self.config, self.tokenizer.model_max_length)

    def check(self, *, wants_tokenizer: bool = True) -> None:
        """Check that it holds a configuration, whole weights and a tokenizer.

        A head has no tokenizer of its own: without `wants_tokenizer` none is missed.

        Raises ModelNotFoundError when there is no folder, ModelError naming a missing file, CorruptModelError for a
        configuration that is not JSON, for truncated weights, or for a link to a file that is gone.
        """
        if not self.path.is_dir():
            raise ModelNotFoundError(f"There is no model folder {self.path}.")
        _ = self.config, self.generation
        self._check_links()
        if not self.weights:
            raise ModelError(f"The model folder {self.path} has no weights: model.safetensors is missing.")
        self._check_shards()
        for file in self.weights:
            self.tensors(file).check()
        if wants_tokenizer and not self.has_tokenizer:
            raise ModelError(f"The model folder {self.path} has no tokenizer: tokenizer.json is missing.")

    def _check_links(self) -> None:
        """Raise CorruptModelError for a link that leads nowhere, as one of a cache does whose file was deleted."""
        for path in sorted(self.path.iterdir()):
            if path.suffix in _READ and path.is_symlink() and not path.exists():
                raise CorruptModelError(f"{path} is a link to a file that is gone, so fetch the model again.")

    def _check_shards(self) -> None:
        index = self.path / INDEX
        names = [file.name for file in self.weights]
        try:
            missing = missing_shards(names, index.read_text(encoding="utf-8") if index.is_file() else None)
        except (OSError, ValueError) as error:
            raise CorruptModelError(f"{index} cannot be read ({error}), so fetch it again.") from error
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ModelError(
                f"The model folder {self.path} lacks {missing[0]}{others} of its weights: fetch what is missing."
            )

    def _has_tensor(self, part: str) -> bool:
        """Whether the name of one of its tensors has such a part; a damaged file names none."""
        torch = self.path / TORCH_FILE
        for file in sorted(self.path.glob("*.safetensors")):
            try:
                if any(part in name for name in self.tensors(file).shapes):
                    return True
            except CorruptModelError:
                continue
        if not torch.is_file():
            return False
        with torch.open("rb") as stream:
            return part.encode() in stream.read(_TORCH_NAMES_BYTES)
