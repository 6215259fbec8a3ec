"""The target in PyTorch bfloat16 as a sampler's `Stepper`. Imported only for `--trainer torch`."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mlx_spec.training.on_torch.llama import TorchLlama

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
SOURCE = Path(__file__).with_name("decode_attention.cpp")


class TorchStepper:
    """`rows` dialogues of at most `capacity` tokens, over one preallocated cache."""

    def __init__(self, model: TorchLlama, rows: int, capacity: int, seed: int) -> None:
        config = model.config
        self._model = model
        self._generator = torch.Generator().manual_seed(seed)
        shape = (config["num_hidden_layers"], 2, rows, config["num_key_value_heads"], capacity, config["head_dim"])
        self._cache = torch.zeros(shape, dtype=torch.bfloat16)
        self._rows = torch.arange(rows)
        self._kernel = compiled_attention(config) if config["head_dim"] == 64 else None
        self._positions = torch.zeros(rows, dtype=torch.int64)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], temperatures: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """See `Stepper.step`."""
        self._positions = torch.from_numpy(positions.copy())
        hidden = self._model(torch.from_numpy(ids), self._positions, self._attend)
        chunks = [
            self._pick(h, t) for h, t in zip(hidden.split(32), torch.from_numpy(temperatures).split(32), strict=True)
        ]
        return torch.cat(chunks).numpy(), hidden.view(torch.uint16).numpy().copy()

    def _pick(self, hidden: Tensor, temperatures: Tensor) -> Tensor:
        """Next ids for a few rows: the greatest logit at temperature 0, else by inverting the cumulated
        distribution."""
        logits = F.linear(hidden, self._model.embeddings).float()
        best = logits.argmax(-1)
        hot = temperatures > 0
        if hot.any():
            weights = torch.softmax(logits[hot] / temperatures[hot, None], -1).cumsum(-1)
            spot = torch.rand(len(weights), 1, generator=self._generator) * weights[:, -1:]
            best[hot] = torch.searchsorted(weights, spot, right=True).squeeze(-1).clamp_(max=logits.shape[-1] - 1)
        return best

    def _attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        cached_keys, cached_values = self._cache[layer]
        cached_keys[self._rows, :, self._positions] = keys
        cached_values[self._rows, :, self._positions] = values
        grouped = queries.unflatten(1, (keys.shape[1], -1))
        if self._kernel is not None:
            return self._kernel(grouped, cached_keys, cached_values, self._positions + 1).flatten(1, 2)
        longest = int(self._positions.max()) + 1
        mask = torch.arange(longest) <= self._positions[:, None]
        read = F.scaled_dot_product_attention(
            grouped, cached_keys[:, :, :longest], cached_values[:, :, :longest], attn_mask=mask[:, None, None]
        )
        return read.flatten(1, 2)


def compiled_attention(config: dict[str, Any]) -> Kernel | None:
    """The C++ kernel beside this file, which reads each row up to its own length (3 to 4 times as fast); None without
    g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="lookahead-attention-"))
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC"]
    flags.append(f"-DGROUP={config['num_attention_heads'] // config['num_key_value_heads']}")
    subprocess.run([compiler, *flags, "-c", str(SOURCE), "-o", str(folder / "kernel.o")], check=True)
    # PyTorch's own OpenMP, not the system's: two pools of threads would fight for the cores.
    openmp = [str(path) for path in (Path(torch.__file__).parent / "lib").glob("libgomp*")]
    subprocess.run(
        [compiler, "-shared", "-o", str(folder / "kernel.so"), str(folder / "kernel.o"), *openmp], check=True
    )
    library = ctypes.CDLL(str(folder / "kernel.so"))

    def attention(queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        queries = queries.contiguous()
        read = torch.empty_like(queries)
        arrays = (queries, keys, values, read, lengths)
        sizes = (queries.shape[0], keys.shape[1], keys.shape[2])
        library.decode_attention(*(ctypes.c_void_p(a.data_ptr()) for a in arrays), *(ctypes.c_int64(s) for s in sizes))
        return read

    return attention
