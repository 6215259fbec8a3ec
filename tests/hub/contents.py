"""What the loopback Hub serves: files in memory or sparse ones of any size, and models of them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PIECE: Final = 1 << 20
_ZEROS: Final[dict[int, "hashlib._Hash"]] = {}


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file. Zeros, then `data` up to `size`: gigabytes of it take no memory."""

    data: bytes
    size: int
    lfs: bool
    sha256: str
    git_sha1: str

    @property
    def etag(self) -> str:
        """What the Hub says names these bytes."""
        return self.sha256 if self.lfs else self.git_sha1

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        """The bytes from `start`, `length` of them, a megabyte at most at a time."""
        end, zeros = start + length, self.size - len(self.data)
        while start < end:
            if start < zeros:
                piece = bytes(min(_PIECE, end - start, zeros - start))
            else:
                piece = self.data[start - zeros : min(end - zeros, start - zeros + _PIECE)]
            start += len(piece)
            yield piece


def hub_file(data: bytes, *, size: int | None = None, lfs: bool | None = None) -> HubFile:
    """A file of `data`, behind as many zeros as `size` has room for."""
    whole = size if size is not None else len(data)
    kept_in_lfs = lfs if lfs is not None else whole > 100_000
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % whole)
    if kept_in_lfs:
        sha256 = _sha256_of_zeros(whole - len(data))
        sha256.update(data)
    else:
        sha1.update(bytes(whole - len(data)) + data)
    # Of a file in LFS, git knows a pointer, which has a sha1 of its own.
    return HubFile(data, whole, kept_in_lfs, sha256.hexdigest(), sha1.hexdigest())


def _sha256_of_zeros(count: int) -> "hashlib._Hash":
    """Reckoned once for each length: files of a model differ in their last bytes only."""
    if count not in _ZEROS:
        digest = _ZEROS[count] = hashlib.sha256()
        for piece in HubFile(b"", count, False, "", "").pieces(0, count):
            digest.update(piece)
    return _ZEROS[count].copy()


@dataclass(slots=True)
class HubModel:
    """A repository. `gated` and `private` need a token; `facts` go into what the Hub says of it. `branches` hold other
    contents under names of their own."""

    files: dict[str, HubFile]
    gated: bool = False
    private: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    branches: dict[str, "HubModel"] = field(default_factory=dict)

    def at(self, revision: str | None) -> "HubModel | None":
        """What a branch, tag or commit of it holds."""
        for name, held in (("main", self), *self.branches.items()):
            if (revision or "main") in (name, held.commit):
                return held
        return None

    @property
    def commit(self) -> str:
        """The hash of its contents."""
        names = json.dumps({name: file.etag for name, file in sorted(self.files.items())})
        return hashlib.sha1(names.encode()).hexdigest()

    @property
    def total_bytes(self) -> int:
        """The size of all its files."""
        return sum(file.size for file in self.files.values())


def folder_model(folder: Path, **options: Any) -> HubModel:
    """The files of a model folder as a repository; weights are kept in LFS whatever their size."""
    files = {
        path.relative_to(folder).as_posix(): hub_file(path.read_bytes(), lfs=path.suffix == ".safetensors" or None)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return HubModel(files, **options)


def heavy_model(size: int, *, files: int = 1, model_type: str = "llama") -> HubModel:
    """A model whose weights are `files` files, `size` bytes together, that no machine could load."""
    config = {"model_type": model_type, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = {"config.json": json.dumps(config).encode(), "tokenizer.json": b"{}"}
    parts = {
        f"model-{i + 1:05}-of-{files:05}.safetensors": hub_file(b"part %d" % i, size=size // files, lfs=True)
        for i in range(files)
    }
    return HubModel({name: hub_file(data) for name, data in made.items()} | parts)
