"""Training an EAGLE-3 head in MLX: the default, and the one for Apple Silicon."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from numpy.typing import NDArray

from mlx_spec.models.heads.eagle import Eagle3Head
from mlx_spec.models.heads.ends import target_ends
from mlx_spec.models.heads.layer import LayerShape
from mlx_spec.models.taps import Taps
from mlx_spec.training.heads.batches import EagleBatch
from mlx_spec.training.heads.chains import LogitsAt
from mlx_spec.training.heads.recipe import EagleRecipe
from mlx_spec.training.initial import Weights
from mlx_spec.training.on_mlx.eagle import chain_loss, rollout
from mlx_spec.training.progress import Progress, TrainingClock
from mlx_spec.training.rounding import Rounding, rounded_weights


class MlxFeatures:
    """The target's states of the tapped layers, by one pass over whole dialogues."""

    def __init__(self, model: nn.Module, taps: tuple[int, ...]) -> None:
        self._model, self._taps = model, Taps(model, taps)

    def __call__(self, ids: NDArray[np.int32]) -> NDArray[np.uint16]:
        """See `ComputeFeatures`."""
        with self._taps.listening() as states:
            self._model(mx.array(ids))
        return np.array(mx.concatenate(states, axis=-1).astype(mx.bfloat16).view(mx.uint16))


def head_of(config: dict[str, Any], target: nn.Module, taps: tuple[int, ...], draft_tokens: int) -> Eagle3Head:
    """A head without weights, with the target's own sizes."""
    return Eagle3Head(LayerShape.of(config), target_ends(target), taps, None, draft_vocab=draft_tokens)


def head_logits(
    head: Eagle3Head, embedding: mx.array, steps: int, ids: NDArray[np.int32], features: NDArray[np.uint16]
) -> list[LogitsAt]:
    """The head as `measure_chains` runs it."""
    read = mx.array(features).view(mx.bfloat16).astype(embedding.dtype)

    def at(state: mx.array) -> LogitsAt:
        return lambda positions: np.array(head.lm_head(state[mx.array(positions)]).astype(mx.float32))

    return [at(state) for state in rollout(head, embedding, mx.array(ids), read, steps)]


class MlxEagleTrainer:
    """A head under training: its weights, its optimizers, the time it has had."""

    def __init__(
        self,
        recipe: EagleRecipe,
        head: Eagle3Head,
        weights: Weights,
        embedding: NDArray[np.float32],
        token_ids: NDArray[np.int64],
        scales: NDArray[np.float32],
        rounding: Rounding,
    ) -> None:
        """`scales` `[taps * hidden]` bring the states that the head reads to about 1; `embedding` is the target's;
        `rounding` is the export's."""
        self._recipe, self._head, self._rounding = recipe, head, rounding
        self._embedding = mx.array(embedding)
        self._rows = self._embedding[mx.array(token_ids)]
        self._known = mx.zeros((len(embedding),)).at[mx.array(token_ids)].add(1.0)
        self._scales = mx.array(scales)
        head.load_weights([(name, mx.array(weight)) for name, weight in weights.items()])
        head.fc = _Scaled(head.fc, self._scales)
        matrices = optim.Muon(recipe.matrix_rate, momentum=0.95, weight_decay=0.0)
        others = optim.AdamW(
            recipe.other_rate, betas=[0.9, 0.98], weight_decay=recipe.weight_decay, bias_correction=True
        )
        self._parts = (matrices, others)
        self._optimizer = optim.MultiOptimizer(
            list(self._parts), [lambda name, weight: weight.ndim == 2 and name != "lm_head.weight"]
        )
        self._elapsed = TrainingClock(recipe.minutes)

    def train(
        self,
        batches: Iterator[EagleBatch],
        report: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> Weights:
        """Train until the recipe's minutes are over, earlier runs of this trainer included; returns the weights."""
        recipe, head = self._recipe, self._head
        for share in self._elapsed.shares(clock):
            batch = next(batches)
            loss = nn.value_and_grad(
                head,
                partial(
                    chain_loss,
                    steps=recipe.steps_at(share),
                    decay=recipe.step_decay,
                    variation=recipe.variation_at(share),
                ),
            )
            with rounded_weights(head, self._rounding if recipe.rounds_at(share) else None):
                (_, overlap), grads = loss(head, self._embedding, self._rows, self._known, batch)
            grads, _ = optim.clip_grad_norm(grads, 1.0)
            for part, rate in zip(self._parts, (recipe.matrix_rate, recipe.other_rate), strict=True):
                part.learning_rate = rate * recipe.rate_at(share)
            self._optimizer.update(head, grads)
            mx.eval(head.parameters(), self._optimizer.state, overlap)
            report(self._elapsed.stepped(share, len(batch.positions), float(overlap.item()), self.weights))
        return self.weights()

    def logits_of(self, ids: NDArray[np.int32], features: NDArray[np.uint16]) -> list[LogitsAt]:
        """The head as `measure_chains` runs it."""
        return head_logits(self._head, self._embedding, self._recipe.steps, ids, features)

    def weights(self) -> Weights:
        """A copy of the weights as NumPy arrays, for states as the target has them, not scaled."""
        named: dict[str, mx.array] = dict(tree_flatten(self._head.parameters()))
        weights = {name: np.array(weight.astype(mx.float32)) for name, weight in named.items()}
        weights["fc.weight"] = weights["fc.weight"] * np.array(self._scales)
        return weights

    def save(self, path: Path) -> None:
        """Keep everything that going on needs."""
        state = {"head": self._head.parameters(), "optimizer": self._optimizer.state}
        counts = {"counts": json.dumps(self._elapsed.counts)}
        partial_file = path.with_name(f"{path.name}.part.safetensors")
        mx.save_safetensors(str(partial_file), dict(tree_flatten(state)), metadata=counts)
        partial_file.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` kept."""
        loaded: Any = mx.load(str(path), format="safetensors", return_metadata=True)
        arrays, counts = loaded
        state: Any = tree_unflatten(list(arrays.items()))
        self._head.update(state["head"])
        self._optimizer.init(self._head.trainable_parameters())
        self._optimizer.state = state["optimizer"]
        self._elapsed.counts = json.loads(counts["counts"])

    @property
    def spent_share(self) -> float:
        """The share of the recipe's time that is over."""
        return self._elapsed.spent_share


class _Scaled(nn.Linear):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """`fc` on states that were brought to about 1: a step of Muon's is as large for all layers that are read."""

    def __init__(self, linear: nn.Linear, scales: mx.array) -> None:
        super().__init__(linear.weight.shape[1], linear.weight.shape[0], bias=False)
        self.weight, self._scales = linear.weight, scales

    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(x * self._scales)  # type: ignore[no-any-return]
