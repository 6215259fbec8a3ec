"""Setting a pass going as soon as it is built, in the same way by all: so all make their parts of it in one order."""

from collections.abc import Sequence
from typing import Any, get_args

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.decoding.cache.passes.dividing import Depth
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.times import MatmulShape, MatmulTimes
from mlx_spec.models.splitting.order import settled
from mlx_spec.models.splitting.share import share_of


class NoTimes(MatmulTimes):
    """Of several machines each has its own times: where they compute together, none of these decides."""

    def faster(self, shape: MatmulShape) -> bool:
        """Never: so our kernels make the products of strict passes, and MLX's own all others."""
        return False


def adopt_products(target: nn.Module) -> None:
    """Have a share's products be made in the same way by all."""
    adopt(target, NoTimes())


def depths_of(target: nn.Module) -> tuple[Depth, ...]:
    """How deep passes over the rows of many answers may be divided. Of whole layers each answer's would send for
    itself, and who receives could not tell in which order."""
    part = share_of(target)
    return ("attention", "mixer") if part is not None and part.relay is not None else get_args(Depth)


def set_going(
    model: Any, scored: Sequence[PassOutput], caches: Sequence[Any] = (), *, reads_only: bool = False
) -> None:
    """Compute what a pass gives; where it `reads_only`, what it leaves in `caches`."""
    heard = [one.features for one in scored if one.features is not None]
    wanted = [cache.state for cache in leaves(caches)] if reads_only else [one.logits for one in scored]
    mx.async_eval(wanted, heard)  # type: ignore[no-untyped-call]
    settled(model)
