"""Keys and values in 8 or 4 bits: speculation says what plain decoding says over the same ones, in every architecture
that takes them, and the others are refused in a sentence."""

import random
from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import KVCache, QuantizedKVCache, RotatingKVCache, make_prompt_cache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import KV_BITS, DrafterName
from mlx_spec.decoding.cache import making
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.cache.kinds.append_only import AppendOnly
from mlx_spec.decoding.cache.making import check_kv_bits, make_caches
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_llama
from tests.zoo import ARCHITECTURES, VOCAB, mixed, zoo_model

NOTHING_TO_KEEP = "keeps windows, chunks or states only"
OWN_ATTENTION = "its attention does not read keys and values in fewer bits"
REFUSED = {
    "gemma2": OWN_ATTENTION,  # soft-capped scores of its own
    "gpt_oss": OWN_ATTENTION,  # sinks, which mlx-lm's quantised attention refuses
    "deepseek_v3": OWN_ATTENTION,  # latent attention
    "deepseek_v32": OWN_ATTENTION,
    "longcat_flash": OWN_ATTENTION,
    "afm7": OWN_ATTENTION,  # layers that share another's keys, without its cache
    "deepseek_v41": NOTHING_TO_KEEP,
    "mamba": NOTHING_TO_KEEP,
    "mamba2": NOTHING_TO_KEEP,
    "recurrent_gemma": NOTHING_TO_KEEP,
}
"""Why an architecture takes no `kv_bits`: `docs/models.md` has the same table."""
TAKEN = [name for name in ARCHITECTURES if name not in REFUSED]
ALIKE = {"llama", "qwen2", "qwen3", "phi3", "mixtral", "qwen3_moe", "falcon_h1", "baichuan_m1"}
"""All layers are of one kind: these can draft for themselves."""
PROMPT = random.Random(7).choices(range(VOCAB), k=40)
TOKENS = 14
SETTINGS = {"greedy": SamplingParams(temperature=0, seed=1), "sampled": SamplingParams(temperature=0.8, seed=2)}
CHAIN = {"lookahead": 4, "adaptive_lookahead": False, "acceptance_threshold": 0.0}
TREE = CHAIN | {"tree_speculation": True}


@cache
def target(name: str) -> nn.Module:
    return zoo_model(name, wide=True)


def told(pair: ModelPair, drafter: DrafterName, setting: str, bits: int | None, **config: Any) -> list[Any]:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(kv_bits=bits, **config), drafter=drafter)
    return list(decoder.stream(PROMPT, SETTINGS[setting], TOKENS))


def ids(events: list[Any]) -> tuple[int, ...]:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].token_ids


@cache
def plain(name: str, setting: str, bits: int | None) -> tuple[int, ...]:
    answer = ids(told(pair_of(target(name), None, vocab=VOCAB), "none", setting, bits))
    assert len(answer) == TOKENS
    return answer


@cache
def draft(name: str) -> nn.Module:
    """Right now and then: most of the target's weights."""
    return mixed(target(name), zoo_model(name, seed=9, wide=True), 0.9)


@pytest.mark.in_turn
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("bits", KV_BITS)
@pytest.mark.parametrize("name", TAKEN)
def test_speculation_says_what_plain_decoding_says_over_the_same_keys_and_values(
    name: str, bits: int, setting: str
) -> None:
    expected = plain(name, setting, bits)
    pair = pair_of(target(name), draft(name), vocab=VOCAB)
    ways: list[tuple[DrafterName, dict[str, Any]]] = [("model", CHAIN), ("model", TREE)]
    ways.append(("self", TREE) if name in ALIKE and bits == 4 else ("ngram", CHAIN))
    for drafter, config in ways:
        assert ids(told(pair, drafter, setting, bits, **config)) == expected, f"{drafter} {config}"


@pytest.mark.parametrize("bits", KV_BITS)
def test_drafts_are_rejected_and_branches_taken_on_the_way(bits: int) -> None:
    """Else the equality above would say little of rollback, and nothing of trees."""
    pair = pair_of(target("qwen2"), draft("qwen2"), vocab=VOCAB)
    events = told(pair, "model", "sampled", bits, **TREE)
    rounds = [event for event in events if isinstance(event, RoundFinished)]
    states = [token.state for one in rounds for token in one.drafted]
    assert {"accepted", "rejected"} <= {*states}
    assert any(len([token for token in one.drafted if token.parent == -1]) > 1 for one in rounds)


@pytest.mark.parametrize(("method", "config"), [("drop", CHAIN), ("keep", TREE)])
def test_a_rollback_that_leaves_a_trace_is_noticed(
    method: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted faults: the equality above must then fail."""

    def one_too_few(policy: Any, *arguments: Any) -> None:
        policy._cache.trim(max(0, arguments[-1] if method == "drop" else arguments[1] - arguments[2]) - 1)

    names = ["qwen2", "phi3", "llama"]
    expected = [plain(name, "sampled", 8) for name in names]
    monkeypatch.setattr(AppendOnly, method, one_too_few)
    said = [
        ids(told(pair_of(target(name), draft(name), vocab=VOCAB), "model", "sampled", 8, **config)) for name in names
    ]
    assert said != expected


@pytest.mark.parametrize("bits", KV_BITS)
@pytest.mark.parametrize("name", TAKEN)
def test_the_words_are_mlx_lms_over_such_caches(name: str, bits: int) -> None:
    """mlx-lm's own loop, over caches that hold nothing but quantised keys and values from the first token on."""
    model = target(name)
    caches = make_caches(model, name, bits)
    for one, other in zip(leaves(caches), leaves(make_prompt_cache(model)), strict=True):
        # Windows, chunks and states stay as they are.
        assert type(one) is (QuantizedKVCache if type(other) is KVCache else type(other))
    steps = generate_step(mx.array(PROMPT), model, max_tokens=TOKENS, prompt_cache=caches)
    assert tuple(int(step[0]) for step in steps) == plain(name, "greedy", bits)


def test_fewer_bits_are_other_words() -> None:
    """What was asked for is done: 4 bits are so coarse that tiny random models say something else."""
    assert sum(plain(name, "greedy", 4) != plain(name, "greedy", None) for name in TAKEN) > len(TAKEN) // 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_takes_none_is_refused_before_anything_is_asked(name: str) -> None:
    pair = pair_of(target(name), None, vocab=VOCAB)
    with pytest.raises(UnsupportedModelError, match=rf"^tiny-target cannot .*--kv-bits.*{REFUSED[name]}") as caught:
        SpeculativeDecoder(pair, SpeculativeConfig(kv_bits=8))
    assert str(caught.value).count(". ") == 0
    SpeculativeDecoder(pair)  # as ever without


def test_heads_that_no_group_fits_are_told_by_their_width() -> None:
    with pytest.raises(UnsupportedModelError, match="its heads are 8 wide, which is no multiple of 32"):
        check_kv_bits(zoo_model("llama"), "tiny", 4)
    check_kv_bits(zoo_model("llama"), "tiny", None)


@pytest.mark.parametrize(("width", "group"), [(32, 32), (64, 64), (96, 32), (128, 64)])
def test_groups_are_of_64_where_the_width_allows_it(width: int, group: int) -> None:
    caches = make_caches(tiny_llama(0, hidden=4 * width), "tiny", 8)
    assert {(cache.group_size, cache.bits) for cache in caches} == {(group, 8)}


def test_it_is_tried_once_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    really = making._try
    monkeypatch.setattr(making, "_try", lambda model: tried.append(model) or really(model))
    model = tiny_llama(3, hidden=128)
    for bits in (8, 4, 8):
        make_caches(model, "tiny", bits)
    assert tried == [model]


def test_attention_that_makes_something_else_of_them_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error, only other numbers: as from a model that looked at codes for keys."""
    import mlx_lm.models.llama as llama

    honest = llama.scaled_dot_product_attention

    def odd(queries: Any, keys: Any, values: Any, cache: Any, **options: Any) -> Any:
        scale = options.pop("scale") * (0.8 if hasattr(cache, "bits") else 1.0)
        return honest(queries, keys, values, cache=cache, scale=scale, **options)

    monkeypatch.setattr(llama, "scaled_dot_product_attention", odd)
    with pytest.raises(UnsupportedModelError, match="makes something else of keys and values in fewer bits"):
        check_kv_bits(tiny_llama(4, hidden=128), "tiny", 8)


def test_a_draft_model_keeps_its_own_and_the_targets_half_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, int | None]] = []
    really = CachedModel.__init__

    def watched(self: Any, model: Any, *arguments: Any, **options: Any) -> None:
        made.append((model, options.get("kv_bits")))
        really(self, model, *arguments, **options)

    monkeypatch.setattr(CachedModel, "__init__", watched)
    pair = pair_of(target("qwen2"), draft("qwen2"), vocab=VOCAB)
    told(pair, "model", "greedy", 4, **CHAIN)
    assert [(model is pair.target, bits) for model, bits in made] == [(False, None), (True, 4)]
    made.clear()
    told(pair, "self", "greedy", 4, **CHAIN)
    assert [bits for _, bits in made] == [4, 4]


def test_a_draft_that_takes_none_drafts_all_the_same() -> None:
    pair = pair_of(target("qwen2"), zoo_model("gpt_oss", seed=3), vocab=VOCAB)
    assert ids(told(pair, "model", "sampled", 8, **CHAIN)) == plain("qwen2", "sampled", 8)


@pytest.mark.in_turn
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("bits", KV_BITS)
@pytest.mark.parametrize("name", ["llama", "mistral", "falcon_h1", "llama4"])
def test_three_turns_go_on_from_what_was_read(
    name: str, bits: int, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.cpu, 8)
    pair, chance = pair_of(target(name), None, vocab=VOCAB), random.Random(5)
    config = SpeculativeConfig(kv_bits=bits)
    hot = SpeculativeDecoder(pair, config, drafter="ngram", prefixes=Prefixes(1 << 30, block_tokens=8))
    cold = SpeculativeDecoder(pair, config, drafter="none")
    prompt, shares = list(PROMPT), []
    for _ in range(3):
        *_, found = hot.stream(prompt, SETTINGS[setting], TOKENS)
        *_, expected = cold.stream(prompt, SETTINGS[setting], TOKENS)
        assert isinstance(found, GenerationFinished)
        assert found.token_ids == expected.token_ids
        shares.append(found.cached_tokens / len(prompt))
        list(hot.settle())
        prompt = [*prompt, *found.token_ids, *chance.choices(range(VOCAB), k=9)]
    assert shares[0] == 0
    # Windows, chunks and states begin again where the turn before was read to, the others behind its answer.
    assert min(shares[1:]) >= (0.7 if name == "llama" else 0.5)


def test_a_window_beside_them_stays_as_it_is() -> None:
    kinds = [type(cache) for cache in make_caches(target("gemma3"), "gemma3", 4)]
    assert kinds == [RotatingKVCache, RotatingKVCache, QuantizedKVCache]
