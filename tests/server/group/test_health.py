"""What /health says between the loss of a rank and the end of the process that has lost it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from mlx_spec.server.api import create_app
from mlx_spec.server.engine.thread import EngineThread

LOST = "b.local (rank 1) is gone."


@pytest.mark.parametrize(
    ("stage", "told"),
    [("lost", ("loading", LOST)), ("ready", ("failed", "It broke.")), (None, ("failed", "It broke."))],
)
def test_a_group_that_is_lost_forms_again_and_has_not_failed(stage: str | None, told: tuple[str, str]) -> None:
    engine: Any = SimpleNamespace(status=lambda: SimpleNamespace(state="failed", message="It broke."))
    group = None if stage is None else lambda: {"stage": stage, "message": LOST}
    app = create_app(cast(EngineThread, engine), api_key=None, allowed_hosts=None, model_name="it", group=group)
    found = TestClient(app).get("/health").json()
    assert (found["status"], found["message"]) == told
