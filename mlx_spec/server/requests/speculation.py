"""What a request may ask of the speculation: with an answer, and of one that is under way."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mlx_spec.config import ALTERNATIVES_LIMIT, LOOKAHEAD_LIMIT, AcceptanceRule, ExactnessChoice
from mlx_spec.decoding.steering import Change, Steering
from mlx_spec.errors import ConfigError
from mlx_spec.server.engine.job import DrafterChoice, LookaheadChoice
from mlx_spec.server.requests.validation import RequestError

_STEERED: Final = ("acceptance", "acceptance_threshold", "min_acceptance_ratio", "tree")


def _lookahead(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LOOKAHEAD_LIMIT
    if value is None or value == "auto" or whole:
        return value
    raise ValueError(f'"auto" or a whole number from 1 to {LOOKAHEAD_LIMIT}')


def _alternatives(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ALTERNATIVES_LIMIT
    if value is None or whole:
        return value
    raise ValueError(f"a whole number from 0 to {ALTERNATIVES_LIMIT}")


class _Steered(BaseModel):
    """What may be asked of an answer when it begins and while it is under way; null or left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    drafter: DrafterChoice | None = None
    lookahead: Annotated[LookaheadChoice | None, BeforeValidator(_lookahead)] = None
    acceptance: AcceptanceRule | None = None
    acceptance_threshold: float | None = None
    min_acceptance_ratio: float | None = None
    tree: str | None = None


class SpeculationOptions(_Steered):
    """The extension of docs/PROTOCOL.md."""

    events: bool | None = None
    alternatives: Annotated[int | None, BeforeValidator(_alternatives)] = None
    exactness: ExactnessChoice | None = None

    def steering(self) -> Steering:
        """What a request asks for besides its drafter and lookahead. Raises RequestError."""
        asked = {name: value for name in _STEERED if (value := getattr(self, name)) is not None}
        steering = Steering()
        try:
            steering.steer(Change(**asked))
        except ConfigError as error:
            raise RequestError(str(error), f"speculation.{error.field}") from None
        return steering


class SteeringRequest(_Steered):
    """POST /v1/speculation/settings: what to change of an answer under way."""

    request: str | None = None

    @property
    def change(self) -> Change:
        """The change asked for. Raises RequestError where there is none."""
        asked = self.model_dump(exclude={"request"}, exclude_none=True)
        if not asked:
            raise RequestError("The request changes nothing: give drafter, lookahead, acceptance or a threshold.")
        return Change(**asked)
