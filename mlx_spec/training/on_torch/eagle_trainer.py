"""Training an EAGLE-3 head in PyTorch bfloat16. Imported only for `--trainer torch`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mlx_spec.training.heads.batches import EagleBatch
from mlx_spec.training.heads.chains import LogitsAt
from mlx_spec.training.heads.recipe import EagleRecipe
from mlx_spec.training.initial import Weights
from mlx_spec.training.on_torch.eagle import ChainLoss, TorchEagle, rollout
from mlx_spec.training.on_torch.llama import TorchLlama, torch_llama
from mlx_spec.training.on_torch.rounding import rounded_weights
from mlx_spec.training.progress import Progress, TrainingClock
from mlx_spec.training.rounding import Rounding


class TorchFeatures:
    """The target's states of the tapped layers, by one bfloat16 pass over whole dialogues."""

    def __init__(self, config: dict[str, Any], weights: Weights, taps: tuple[int, ...]) -> None:
        """For a target with these weights, of which the layers above the highest tap are never run."""
        layers = max(taps) + 1
        above = tuple(f"model.layers.{index}." for index in range(layers, config["num_hidden_layers"]))
        needed = {name: weight for name, weight in weights.items() if not name.startswith(above)}
        model = torch_llama({**config, "num_hidden_layers": layers}, needed)
        self._model: TorchLlama = model.bfloat16().eval().requires_grad_(False)
        self._taps = taps

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, ids: NDArray[np.int32]) -> NDArray[np.uint16]:
        """See `ComputeFeatures`."""
        rows, length = ids.shape
        seen: dict[int, Tensor] = {}

        def watch(layer: int, states: Tensor) -> None:
            if layer in self._taps:
                seen[layer] = states

        flat = torch.from_numpy(ids).long().flatten()
        self._model(flat, torch.arange(length).repeat(rows), fused_causal(rows, length), watch)
        states = torch.cat([seen[tap] for tap in self._taps], -1).unflatten(0, (rows, length))
        bits: NDArray[np.uint16] = states.contiguous().view(torch.uint16).numpy()
        return bits


def fused_causal(rows: int, length: int) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
    """`causal` without a way back: PyTorch's fused attention, whose forward pass is twice as fast."""

    def attend(_: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        q, k, v = (x.unflatten(0, (rows, length)).transpose(1, 2) for x in (queries, keys, values))
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return read.transpose(1, 2).flatten(0, 1)

    return attend


class TorchEagleTrainer:
    """A head under training: its weights, its optimizers, the time it has had."""

    def __init__(
        self,
        recipe: EagleRecipe,
        config: dict[str, Any],
        weights: Weights,
        embedding: NDArray[np.float32],
        token_ids: NDArray[np.int64],
        scales: NDArray[np.float32],
        rounding: Rounding,
    ) -> None:
        """`scales` `[taps * hidden]` bring the states that the head reads to about 1; `embedding` is the target's;
        `rounding` is the export's."""
        self._recipe, self._rounding = recipe, rounding
        self._embedding = torch.from_numpy(embedding).bfloat16()
        self._rows = self._embedding[torch.from_numpy(token_ids)].contiguous()
        self._in_draft = torch.zeros(len(embedding), dtype=torch.float32)
        self._in_draft[torch.from_numpy(token_ids)] = 1.0
        self._scales = torch.from_numpy(scales).bfloat16()
        self.head = TorchEagle(config, len(scales) // config["hidden_size"], len(token_ids))
        self.head.load_state_dict({name: torch.from_numpy(weight.copy()) for name, weight in weights.items()})
        matrices = [w for n, w in self.head.named_parameters() if w.ndim == 2 and n != "lm_head.weight"]
        others = [w for n, w in self.head.named_parameters() if w.ndim == 1 or n == "lm_head.weight"]
        self._optimizers = (
            torch.optim.Muon(matrices, momentum=0.95, weight_decay=0.0),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True),
        )
        self._elapsed = TrainingClock(recipe.minutes)

    def train(
        self,
        batches: Iterator[EagleBatch],
        report: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> Weights:
        """Train until the recipe's minutes are over, earlier runs of this trainer included; returns the weights."""
        for share in self._elapsed.shares(clock):
            batch = next(batches)
            with rounded_weights(self.head, self._rounding if self._recipe.rounds_at(share) else None):
                overlap = self._gradients(batch, self._recipe.steps_at(share), self._recipe.variation_at(share))
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
            rates = (self._recipe.matrix_rate, self._recipe.other_rate)
            for optimizer, rate in zip(self._optimizers, rates, strict=True):
                optimizer.param_groups[0]["lr"] = rate * self._recipe.rate_at(share)
                optimizer.step()
            self.head.zero_grad(set_to_none=True)
            report(self._elapsed.stepped(share, len(batch.positions), overlap, self.weights))
        return self.weights()

    def _gradients(self, batch: EagleBatch, steps: int, variation: float) -> float:
        """Add a batch's gradients; give Σ min(p, q) of the first step."""
        positions, ids = torch.from_numpy(batch.positions), torch.from_numpy(batch.ids).long()
        with torch.autocast("cpu", torch.bfloat16):
            states = rollout(self.head, self._embedding, ids, self._read(batch.features), steps)
        tested = torch.stack([step[positions - number - 1] for number, step in enumerate(states)])
        kept = self._in_draft[ids.flatten()[positions + 1]]
        hidden = torch.from_numpy(batch.hidden.view(np.int16)).view(torch.bfloat16)
        overlap = ChainLoss.apply(
            tested, self.head.lm_head.weight, hidden, self._rows, kept, self._recipe.step_decay, variation
        )
        overlap.sum().backward()
        return float(overlap[0].detach())

    def _read(self, features: NDArray[np.uint16]) -> Tensor:
        return torch.from_numpy(features.view(np.int16)).view(torch.bfloat16) * self._scales

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def logits_of(self, ids: NDArray[np.int32], features: NDArray[np.uint16]) -> list[LogitsAt]:
        """The head as `measure_chains` runs it."""
        with torch.autocast("cpu", torch.bfloat16):
            states = rollout(
                self.head, self._embedding, torch.from_numpy(ids).long(), self._read(features), self._recipe.steps
            )
        matrix = self.head.lm_head.weight.detach().numpy()

        def at(state: Tensor) -> LogitsAt:
            return lambda positions: state.float().numpy()[positions] @ matrix.T

        return [at(state) for state in states]

    def weights(self) -> Weights:
        """A copy of the weights as NumPy arrays, for states as the target has them, not scaled."""
        weights = {name: weight.detach().numpy().copy() for name, weight in self.head.state_dict().items()}
        weights["fc.weight"] *= self._scales.float().numpy()
        return weights

    def save(self, path: Path) -> None:
        """Keep everything that going on needs."""
        state = {
            "head": self.head.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "counts": self._elapsed.counts,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` kept."""
        state = torch.load(path, weights_only=True)
        self.head.load_state_dict(state["head"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self._elapsed.counts = state["counts"]

    @property
    def spent_share(self) -> float:
        """The share of the recipe's time that is over."""
        return self._elapsed.spent_share
