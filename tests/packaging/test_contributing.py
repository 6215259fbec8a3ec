"""CONTRIBUTING.md says where new things go: each of its examples is put there, and works."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mlx_lm.models.cache import KVCache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DRAFTERS
from mlx_spec.decoding.cache.rollback import POLICIES
from mlx_spec.decoding.drafters.making import MAKERS
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.events import GenerationFinished, RoundFinished
from tests.tiny import pair_of, tiny_llama, tiny_pair

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL))
PROMPT = [5, 6, 6, 6, 6, 6]
PARAMS = SamplingParams(temperature=0.7, seed=3)


def example(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as the module that its path makes it; the folder it goes to must be there."""
    assert (ROOT / path).parent.is_dir()
    assert not (ROOT / path).exists(), "an example must not look like a file of ours"
    name = path.removesuffix(".py").replace("/", ".")
    package = importlib.import_module(name.rpartition(".")[0])
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(package, name.rpartition(".")[2], module, raising=False)
    exec(compile(EXAMPLES[path], path, "exec"), module.__dict__)
    return module


def words(decoder: SpeculativeDecoder) -> tuple[int, ...]:
    return next(
        event.token_ids for event in decoder.stream(PROMPT, PARAMS, 24) if isinstance(event, GenerationFinished)
    )


def test_a_drafter(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = example("mlx_spec/decoding/drafters/echo.py", monkeypatch)
    monkeypatch.setitem(MAKERS, "echo", lambda pair, draw: echo.EchoDrafter())
    monkeypatch.setattr("mlx_spec.decoding.admission.DRAFTERS", (*DRAFTERS, "echo"))
    pair, fixed = tiny_pair(0), SpeculativeConfig(lookahead=3, adaptive_lookahead=False)
    drafted = SpeculativeDecoder(pair, fixed, drafter="echo")  # type: ignore[arg-type]
    rounds = [event for event in drafted.stream(PROMPT, PARAMS, 24) if isinstance(event, RoundFinished)]
    assert [token.token_id for token in rounds[0].drafted] == [PROMPT[-1]] * 3
    assert words(drafted) == words(SpeculativeDecoder(pair, drafter="none"))


class CountedKVCache(KVCache):
    """A kind that no policy is for."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def update_and_fetch(self, keys: object, values: object) -> object:
        self.passes += 1
        return super().update_and_fetch(keys, values)


def test_a_cache_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    target = tiny_llama(0)
    target.make_cache = lambda: [CountedKVCache() for _ in target.layers]
    pair = pair_of(target, tiny_pair(0).draft)
    plain = words(SpeculativeDecoder(pair_of(tiny_llama(0), None), drafter="none"))
    with pytest.raises(UnsupportedModelError, match="CountedKVCache"):
        SpeculativeDecoder(pair, drafter="model")
    counted = example("mlx_spec/decoding/cache/counted.py", monkeypatch)
    monkeypatch.setitem(POLICIES, CountedKVCache, counted.Counted)
    fixed = SpeculativeConfig(lookahead=3, adaptive_lookahead=False)
    assert words(SpeculativeDecoder(pair, fixed, drafter="model")) == plain
