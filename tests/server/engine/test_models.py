"""What the engine's thread does with its models while nobody asks."""

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.server.engine.models import Models
from tests.server.live import live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch


def test_an_answer_is_settled_in_the_idle_moment_behind_it() -> None:
    decoder = ScriptedDecoder()
    with live_server(lambda progress: (ScriptedPair(), decoder), model_name="scripted") as live:
        assert wait_until(lambda: live.http.get("/health").json()["status"] == "ready")
        for count in (1, 2):
            body = {"messages": [{"role": "user", "content": "hello"}]}
            assert live.http.post("/v1/chat/completions", json=body).status_code == 200
            assert wait_until(lambda count=count: decoder.settled == count)


def test_who_is_wanted_settles_nothing() -> None:
    decoder = ScriptedDecoder()
    models = Models(lambda progress: (ScriptedPair(), decoder), None, any_batch, BatchSettings())
    models.load(lambda: None)
    decoder.calls.append({})
    models.warm_up(lambda: False)
    assert decoder.settled == 0
    models.warm_up(lambda: True)
    assert (decoder.warmed, decoder.measured, decoder.settled) == (3, 2, 1)


def test_what_other_threads_ask_is_answered_while_the_models_are_let_go() -> None:
    decoder = ScriptedDecoder()

    class LetGo(Models):
        """Whose decoder is there at the first look only."""

        looks = 0

        @property
        def decoder(self) -> ScriptedDecoder | None:
            self.looks += 1
            return decoder if self.looks == 1 else None

        @decoder.setter
        def decoder(self, value: object) -> None: ...

    models = LetGo(lambda progress: (ScriptedPair(), decoder), None, any_batch, BatchSettings())
    for ask in (models.stats, models.prefix_stats, models.reset_stats, lambda: models.ceiling):
        models.looks = 0
        ask()  # type: ignore[operator]
