"""What a split model knows of being one; it hangs on the model."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.relay import Relay
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.strict import Sums


@dataclass(frozen=True, slots=True)
class Share:
    """`relay` is there in a pipeline, `sums` where each rank has a part of every layer."""

    NAME: ClassVar = "_lookahead_share"

    split: Split
    links: Links
    relay: Relay | None
    sums: Sums | None


def share_of(model: Any) -> Share | None:
    """What a model is a share of; None of a whole one."""
    found: Share | None = vars(model).get(Share.NAME)
    return found
