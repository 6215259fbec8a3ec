"""What the engine's models are told to expect: read when nobody asks, and let go with what it was for."""

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.server.engine.expecting import Expectation
from mlx_spec.server.engine.models import Models
from mlx_spec.server.engine.unloading import Unloading
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch


def loaded(decoder: ScriptedDecoder) -> Models:
    unloading = Unloading(strip=lambda pair: pair, idle_s=1e-9, scarce=lambda: False, free=lambda: None)
    models = Models(lambda tell: (ScriptedPair(), decoder), unloading, any_batch, BatchSettings())
    models.load(lambda: None)
    return models


def test_it_is_told_once_when_nobody_asks() -> None:
    decoder, wanted = ScriptedDecoder(), [False]
    models = loaded(decoder)
    models.expect(Expectation(lambda: iter([[1, 2], [3]])))
    models.warm_up(lambda: wanted[0])
    assert decoder.expected == [], "somebody asks"
    wanted[0] = True
    for _ in range(2):
        models.warm_up(lambda: wanted[0])
    assert decoder.expected == [([1, 2], [3])]


def test_who_is_wanted_while_it_is_rendered_comes_back_to_it() -> None:
    decoder, answers = ScriptedDecoder(), iter([True, False, *[True] * 99])
    models = loaded(decoder)
    models._warming = iter(())
    models.expect(Expectation(lambda: iter([[1, 2]])))
    models.warm_up(lambda: next(answers))
    assert decoder.expected == []
    models.warm_up(lambda: next(answers))
    assert decoder.expected == [([1, 2],)]


def test_it_goes_with_its_chat_and_with_the_models() -> None:
    decoder = ScriptedDecoder()
    models = loaded(decoder)
    for owner, forgets in (("one", True), ("other", False), (None, True)):
        models.expect(Expectation(lambda: iter([[1]]), "one"))
        models.forget_prefixes(owner)
        models.warm_up(lambda: True)
        assert (decoder.expected == []) == forgets, owner
        decoder.expected.clear()
    models.expect(Expectation(lambda: iter([[1]])))
    models.let_go_where_due()
    assert models.decoder is None
    assert models._expectations == [], "it would hold the models"
