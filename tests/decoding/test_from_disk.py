"""What an earlier process has read is found on the disk, and no word is another for it: of every kind of cache."""

import random
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.blocks.slow import SlowBlocks
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_pair
from tests.zoo import ARCHITECTURES, VOCAB, WINDOW, mixed, zoo_model

CHUNK, TURNS, TOKENS = 8, 3, 8
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)
SETTINGS = {0.0: SamplingParams(temperature=0.0, seed=1), 0.8: SamplingParams(temperature=0.8, seed=2)}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, CHUNK)


class Processes:
    """Decoders of one pair over one folder, each as a process of its own has it."""

    def __init__(self, pair: ModelPair, folder: Path, drafter: str, config: SpeculativeConfig = FIXED) -> None:
        self._pair, self._folder, self._drafter, self._config = pair, folder, drafter, config
        self.cold = SpeculativeDecoder(pair, config, drafter="none")

    def next(self) -> SpeculativeDecoder:
        slow = SlowBlocks(DiskTier(self._folder, "pair", 1 << 30))
        kept = Prefixes(1 << 30, slow=slow, block_tokens=CHUNK)
        return SpeculativeDecoder(self._pair, self._config, drafter=self._drafter, prefixes=kept)  # type: ignore[arg-type]


def answered(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams) -> tuple[list[int], int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    *_, end = decoder.stream(prompt, params, TOKENS, owner="chat")
    assert isinstance(end, GenerationFinished)
    return list(end.token_ids), end.cached_tokens


def chat(processes: Processes, params: SamplingParams, vocab: int) -> list[tuple[float, float]]:
    """Three turns, each cold, as a hit, and as a hit by a new process; then a branch by another one. Gives what the
    second and the third knew of each prompt."""
    chance, known = random.Random(5), []
    prompt = chance.choices(range(vocab), k=WINDOW + 5 * CHUNK)
    hot = processes.next()
    for _ in range(TURNS):
        expected, none = answered(processes.cold, prompt, params)
        found, by_memory = answered(hot, prompt, params)
        assert (none, found) == (0, expected), "a hit"
        list(hot.settle())
        hot = processes.next()  # the one before was killed
        found, by_disk = answered(hot, prompt, params)
        assert found == expected, "a hit from the disk"
        known.append((by_memory / len(prompt), by_disk / len(prompt)))
        last, prompt = prompt, [*prompt, *expected, *chance.choices(range(vocab), k=9)]
        list(hot.settle())
    branch = [*last[: -CHUNK // 2], *chance.choices(range(vocab), k=CHUNK)]
    found, by_branch = answered(processes.next(), branch, params)
    assert found == answered(processes.cold, branch, params)[0], "a branch"
    assert by_branch >= 0.5 * len(branch)
    return known


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("name", "temperature"), [*((name, 0.8) for name in ARCHITECTURES), *((name, 0.0) for name in ARCHITECTURES[::2])]
)
def test_every_architecture(name: str, temperature: float, tmp_path: Path) -> None:
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    (first, again), *later = chat(Processes(pair, tmp_path, "ngram"), SETTINGS[temperature], VOCAB)
    assert first == 0
    assert min(again, *(share for turn in later for share in turn)) >= 0.5


@pytest.mark.parametrize(
    ("drafter", "kv_bits", "temperature"),
    [("model", None, 0.0), ("model", None, 0.8), ("model", 8, 0.8), ("model", 4, 0.0), ("none", 8, 0.0)],
)
def test_with_a_draft_and_in_fewer_bits(drafter: str, kv_bits: int | None, temperature: float, tmp_path: Path) -> None:
    pair = tiny_pair(0) if kv_bits is None else wide_pair()
    config = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0, kv_bits=kv_bits)
    (first, again), *later = chat(Processes(pair, tmp_path, drafter, config), SETTINGS[temperature], VOCAB)
    assert first == 0
    assert min(again, *(share for turn in later for share in turn)) >= 0.5


def wide_pair() -> ModelPair:
    """A pair whose heads are wide enough to be kept in fewer bits."""
    target = zoo_model("llama", wide=True)
    return pair_of(target, mixed(target, zoo_model("llama", 1, wide=True), 0.9), vocab=VOCAB)
