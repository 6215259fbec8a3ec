"""What a split model knows of being one; it hangs on the model."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.relay import Relay
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.strict import Sums


@dataclass(slots=True, eq=False)
class Share:
    """`relay` is there in a pipeline, `sums` where each rank has a part of every layer. `machines` is what each rank
    multiplies by (`multiplies_by`), rank 0 first, where rank 0 was told: what was measured holds for these alone."""

    NAME: ClassVar = "_lookahead_share"

    split: Split
    links: Links
    relay: Relay | None
    sums: Sums | None
    is_traced: bool = False
    """Whether a graph is being built that is to be replayed."""
    machines: tuple[str, ...] = ()

    @property
    def mixes_rows(self) -> bool:
        """Whether a row's bits depend on the rows beside it: as those of MLX's own sums do from three ranks on."""
        return self.split.way == "tensor" and self.split.exactness == "fast" and self.split.ranks > 2


def share_of(model: Any) -> Share | None:
    """What a model is a share of; None of a whole one."""
    found: Share | None = vars(model).get(Share.NAME)
    return found
