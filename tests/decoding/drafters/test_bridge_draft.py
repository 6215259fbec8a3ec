"""A draft with another tokenizer: the target's own words, and a context that spells the text byte for byte."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache
from mlx_lm.tokenizer_utils import TokenizerWrapper
from scipy.stats import chisquare

from mlx_spec.acceptance.chain_rules import verify
from mlx_spec.config import AcceptanceRule, SamplingParams
from mlx_spec.decoding.drafters import confidence
from mlx_spec.decoding.drafters.base import Draft, DrawSettings
from mlx_spec.decoding.drafters.vocab_bridge import VocabBridge
from mlx_spec.decoding.drafters.ways import WAYS, Way, Ways
from mlx_spec.models.text.speller import Speller
from mlx_spec.models.text.token_map import TokenMap
from mlx_spec.sampling.distribution import scores as warp
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties
from tests import oracle
from tests.tiny import tiny_llama
from tests.two_tokenizers import byte_level, llama_like, unigram_like, words

TOKENIZERS = {"byte-level": byte_level, "llama": llama_like, "unigram": unigram_like}
PAIRS = [("byte-level", "llama"), ("llama", "byte-level"), ("unigram", "byte-level"), ("byte-level", "unigram")]
STORY = "The naïve dog 🙂🚀 sleeps; 東京の空は青い。\n    return area(3, 4) # Größe π\n" * 2


class TokenReader(nn.Module):
    """A model whose cache holds the very tokens it was fed, so that a test can read them back."""

    @property
    def layers(self) -> list[None]:
        return [None]

    def make_cache(self) -> list[KVCache]:
        return [KVCache()]

    def __call__(self, inputs: mx.array, cache: list[KVCache]) -> mx.array:
        seen, _ = cache[0].update_and_fetch(*[inputs.astype(mx.float32)[:, None, :, None]] * 2)
        return self.logits([int(token) for token in seen[0, 0, :, 0].tolist()], inputs[0])[None]

    def logits(self, token_ids: list[int], inputs: mx.array) -> mx.array:
        """The logits `[n, vocab]` after each of `inputs` `[n]`, the last of `token_ids`."""
        raise NotImplementedError


class Chatter(TokenReader):
    """Logits by the last token alone, from a random table."""

    def __init__(self, seed: int, vocab: int) -> None:
        super().__init__()
        self.table = mx.random.normal((vocab, vocab), key=mx.random.key(seed)) * 3

    def logits(self, token_ids: list[int], inputs: mx.array) -> mx.array:
        return self.table[inputs]


class Reciter(TokenReader):
    """Knows one text by heart, and goes on from wherever in it the bytes it has read end."""

    def __init__(self, speller: Speller, text: str) -> None:
        super().__init__()
        self.speller, self.text = speller, text.encode()
        self.width = len(speller.vocabulary.ids)
        self.following: dict[bytes, int] = {}

    def logits(self, token_ids: list[int], inputs: mx.array) -> mx.array:
        before = len(token_ids) - inputs.shape[0]
        return mx.stack([self.after(token_ids[: i + 1]) for i in range(before, len(token_ids))])

    def after(self, token_ids: list[int]) -> mx.array:
        """One row: all certainty on the token that goes on."""
        read = b"".join(self.speller.bytes_of.get(token_id, b"") for token_id in token_ids)
        rest = self.text[len(read) :] if self.text.startswith(read) else b""
        if rest not in self.following:
            self.following[rest] = (self.speller.spell(rest) or [self.speller.vocabulary.eos_id])[0]
        return mx.where(mx.arange(self.width) == self.following[rest], 10.0, 0.0)


def map_of(target: TokenizerWrapper, draft: TokenizerWrapper) -> TokenMap:
    return TokenMap(target, draft, len(target.get_vocab()), len(draft.get_vocab()))


def draw(params: SamplingParams, rule: AcceptanceRule, vocab: int) -> DrawSettings:
    assert params.seed is not None
    return DrawSettings(params, rule, params.seed, NoiseTable(params.seed, vocab), Penalties(params, vocab))


def context(bridge: VocabBridge) -> list[int]:
    """All tokens of the draft's context: those in its cache, and those that wait."""
    bridge._read()
    cache = bridge._model._caches[0]
    held = cache.keys[0, 0, : cache.offset, 0].tolist() if cache.offset else []
    return [*map(int, held), *bridge._pending]


def decode(
    target: Callable[[mx.array], mx.array],
    bridge: VocabBridge,
    prompt_ids: list[int],
    params: SamplingParams,
    limit: int,
    *,
    gamma: int = 4,
    check: Callable[[list[int]], None] = lambda text: None,
) -> tuple[list[int], list[tuple[int, int]]]:
    """The round loop at its plainest: the target without a cache. Returns the answer, and (proposed, accepted)."""
    text, counts = list(prompt_ids), []
    if prompt_ids[:-1]:
        bridge.prefill(prompt_ids[:-1])
    bridge.commit(prompt_ids[-1:], accepted=0)
    while len(text) < len(prompt_ids) + limit:
        check(text)
        wanted = gamma if len(counts) % 5 else 1  # rounds of several lengths
        draft = bridge.propose(len(text), wanted, len(counts)) if len(counts) % 7 != 6 else None
        draft_ids = draft.token_ids.tolist() if draft else []
        assert len(draft_ids) <= wanted
        logits = target(mx.array([text + draft_ids]))[0, len(text) - 1 :]
        rows = warp(logits, params)
        if params.greedy:
            rows = mx.where(mx.arange(rows.shape[-1]) == mx.argmax(rows, axis=-1, keepdims=True), 0.0, -mx.inf)
        result = verify(
            mx.softmax(rows, axis=-1), None, mx.array(draft_ids, dtype=mx.int32), seed=params.seed, position=len(text)
        )
        emitted = [*draft_ids[: result.accepted_count], result.next_token]
        bridge.commit(emitted, result.accepted_count)
        text += emitted
        counts.append((len(draft_ids), result.accepted_count))
    return text[len(prompt_ids) :][:limit], counts


@pytest.mark.parametrize("params", [SamplingParams(seed=1), SamplingParams(temperature=0.8, top_p=0.9, seed=2)])
@pytest.mark.parametrize(("target_kind", "draft_kind"), PAIRS)
def test_the_words_are_plain_decodings(target_kind: str, draft_kind: str, params: SamplingParams) -> None:
    one, other = TOKENIZERS[target_kind](), TOKENIZERS[draft_kind]()
    tokens = map_of(one, other)
    target = tiny_llama(1, vocab=len(one.get_vocab()))
    draft = tiny_llama(2, vocab=len(other.get_vocab()))
    prompt_ids = one.encode("The quick 🙂 dog")
    expected = oracle.plain_decoding(target, prompt_ids, params, 40, set())
    bridge = VocabBridge(draft, "draft", draw(params, "coupled", len(one.get_vocab())), tokens)
    assert decode(target, bridge, prompt_ids, params, 40)[0] == expected


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("way", "params"),
    [
        ("shared", SamplingParams(seed=1)),
        ("shared", SamplingParams(temperature=1.0, seed=3)),
        ("text", SamplingParams(seed=1)),
    ],
    ids=["shared", "shared-T1", "text"],
)
@pytest.mark.parametrize(("target_kind", "draft_kind"), PAIRS)
def test_the_drafts_context_is_the_text(target_kind: str, draft_kind: str, params: SamplingParams, way: Way) -> None:
    """Byte for byte, after every round: mostly rejected ones, of random tokens that are often half characters."""
    one, other = TOKENIZERS[target_kind](), TOKENIZERS[draft_kind]()
    tokens = map_of(one, other)
    bridge = VocabBridge(
        Chatter(2, len(other.get_vocab())), "draft", draw(params, "coupled", len(one.get_vocab())), tokens, ways=[way]
    )

    def check(text: list[int]) -> None:
        spelled = [token_id for token_id in context(bridge) if token_id not in tokens.draft.vocabulary.special_ids]
        written = [token_id for token_id in text if token_id not in tokens.target.vocabulary.special_ids]
        assert tokens.draft.text_of(spelled) == tokens.target.text_of(written)
        assert context(bridge)[: len(tokens.draft_begin)] == tokens.draft_begin

    special = mx.array([token_id in tokens.target.vocabulary.special_ids for token_id in range(len(one.get_vocab()))])
    model = tiny_llama(1, vocab=len(one.get_vocab()))
    target = lambda ids: mx.where(special, -mx.inf, model(ids))  # noqa: E731
    _, counts = decode(target, bridge, one.encode("The 🙂 dog"), params, 60, check=check)
    assert sum(proposed for proposed, _ in counts) > 40


@pytest.mark.parametrize(("target_kind", "draft_kind"), PAIRS)
def test_text_reaches_what_shared_tokens_cannot(target_kind: str, draft_kind: str) -> None:
    """Both models know one text by heart: tokenised anew, nearly all of the draft's stands, emoji and all."""
    one, other = TOKENIZERS[target_kind](), TOKENIZERS[draft_kind]()
    tokens = map_of(one, other)
    params = SamplingParams(seed=1)
    target = Reciter(tokens.target, STORY)
    prompt_ids = tokens.target.spell(STORY.encode())[:5]
    limit = len(tokens.target.spell(STORY.encode())) - 5
    recite = lambda ids: target(ids, cache=target.make_cache())  # noqa: E731
    rates = {}
    for ways in (["shared"], ["text"], WAYS):
        draft = Reciter(tokens.draft, STORY)
        bridge = VocabBridge(draft, "draft", draw(params, "coupled", target.width), tokens, ways=ways)
        answer, counts = decode(recite, bridge, prompt_ids, params, limit)
        assert tokens.target.text_of(prompt_ids + answer) == STORY.encode()
        rates["+".join(ways)] = sum(accepted for _, accepted in counts) / sum(proposed for proposed, _ in counts)
    assert rates["text"] > 0.6
    assert rates["text"] > rates["shared"]
    assert rates["shared+text"] > 0.8 * rates["text"]


@pytest.mark.parametrize("on_cpu", [True, False], ids=["cpu", "gpu"])
@pytest.mark.parametrize("way", WAYS)
def test_an_unsure_draft_stops(monkeypatch: pytest.MonkeyPatch, way: Way, on_cpu: bool) -> None:
    """Behind the first token whose row was unsure; and the context stays in step with what was drafted in vain."""
    monkeypatch.setattr(confidence, "reads_are_free", lambda: on_cpu)
    tokens = map_of(words("a", "b", "c"), words("c", "b", "a"))
    model = Chatter(1, 4)
    sure, flat = 9.0 * mx.eye(4), mx.zeros((4,))
    model.table = mx.stack([sure[1], sure[2] * 0.1 + flat, sure[0], flat])  # c, then b, then hardly a
    bridge = VocabBridge(
        model, "d", draw(SamplingParams(seed=1), "coupled", 4), tokens, least_confidence=0.5, ways=[way]
    )
    bridge.commit([2], accepted=0)
    draft = bridge.propose(1, 4, 0)
    assert draft is not None
    assert draft.token_ids.tolist() == [1, 0]
    assert draft.passes == (2 if on_cpu else 4)
    bridge.commit([1, 0, 2], accepted=2)
    assert context(bridge) == [0, 1, 2, 0]


def test_the_end_is_proposed_as_the_targets_own() -> None:
    tokens = map_of(llama_like(), byte_level())
    bridge = VocabBridge(
        Reciter(tokens.draft, "The end"), "d", draw(SamplingParams(seed=1), "coupled", 400), tokens, ways=["text"]
    )
    bridge.commit(tokens.target.spell(b"The"), accepted=0)
    draft = bridge.propose(3, 6, 0)
    assert draft is not None
    assert draft.token_ids.tolist() == [*tokens.target.spell(b" end"), llama_like().eos_token_id]


def test_a_prompt_of_which_nothing_is_left_proposes_nothing() -> None:
    tokens = map_of(llama_like(), byte_level())
    bridge = VocabBridge(Chatter(1, 330), "d", draw(SamplingParams(seed=1), "coupled", 400), tokens)
    bridge.prefill([1])
    bridge.commit([1], accepted=0)  # the beginning of a text, twice, which the draft does not write
    assert bridge.propose(1, 4, 0) is None
    bridge.commit([300], accepted=0)
    assert bridge.propose(2, 4, 1) is not None


def test_where_all_shared_tokens_are_banned_nothing_is_proposed() -> None:
    target, draft = words("ab", "x"), words("a", "b", "x")
    params = SamplingParams(temperature=1.0, seed=1, banned_token_ids=(1, 2))
    bridge = VocabBridge(Chatter(1, 4), "d", draw(params, "token", 3), map_of(target, draft))
    bridge.commit([0], accepted=0)
    assert bridge.propose(1, 4, 0) is None


def test_all_targets_tokens_unshared_but_one() -> None:
    """Then only that one can be proposed, and the context still follows."""
    target, draft = words("ab", "cd", "x"), words("a", "b", "c", "d", "x")
    tokens = map_of(target, draft)
    params = SamplingParams(temperature=1.0, seed=1)
    bridge = VocabBridge(Chatter(1, 6), "d", draw(params, "coupled", 4), tokens)
    bridge.commit([0, 1, 2], accepted=0)
    draft_ids = draft.convert_ids_to_tokens(context(bridge))
    assert draft_ids == ["a", "b", "c", "d", "x"]
    proposal = bridge.propose(3, 3, 0)
    assert proposal is not None
    assert set(proposal.token_ids.tolist()) <= {2, 3}  # x, and the end
    assert proposal.scores is not None
    assert mx.all(mx.isinf(proposal.scores[:, :2])).item()


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, seed=0),
        SamplingParams(temperature=1.2, top_p=0.9, seed=0),
        SamplingParams(temperature=1.3, top_k=3, seed=0),
    ],
    ids=["plain", "top-p", "top-k"],
)
def test_token_rule_marginals_are_the_targets(params: SamplingParams) -> None:
    """The first token of a round comes as p has it, and behind a draft that stood, the second as p after that."""
    target, draft = words("a", "b", "ab", "c", "d"), words("d", "c", "b", "e", "a")
    tokens = map_of(target, draft)
    width = len(target.get_vocab())
    table = Chatter(5, width)
    table.table[0, 2] = 2.0  # "ab", which is not shared, is likely
    p = [oracle.warped(np.array(table.table[i]), params) for i in range(width)]
    bridge = VocabBridge(Chatter(6, 6), "d", draw(params, "token", width), tokens)
    first, second = np.zeros(width), np.zeros((width, width))
    for round_index in range(600):
        bridge.commit([0], accepted=0)
        proposal = bridge.propose(1, 2, round_index)
        assert proposal is not None
        emitted = _one_round(p, proposal, round_index)
        first[emitted[0]] += 1
        if len(emitted) > 1:
            second[emitted[0], emitted[1]] += 1
    assert _fits(first, p[0])
    assert first[2] > 0
    often = [token_id for token_id in range(width) if second[token_id].sum() > 60]
    assert often
    assert all(_fits(second[token_id], p[token_id]) for token_id in often)


def _one_round(p: list[np.ndarray], proposal: Draft, seed: int) -> list[int]:
    draft_ids = proposal.token_ids.tolist()
    rows = mx.array(np.stack([p[0], *(p[token_id] for token_id in draft_ids)]))
    q = mx.softmax(proposal.scores, axis=-1)
    result = verify(rows, q, proposal.token_ids, seed=seed, position=1, rule="token")
    return [*draft_ids[: result.accepted_count], result.next_token]


def _fits(counts: np.ndarray, p: np.ndarray) -> bool:
    possible = p > 0
    if counts[~possible].sum() or possible.sum() < 2:
        return not counts[~possible].sum()
    return bool(chisquare(counts[possible], counts.sum() * p[possible]).pvalue > 1e-3)


def test_the_better_way_is_chosen_and_the_other_tried_now_and_then() -> None:
    ways = Ways(WAYS)
    chosen = []
    for _ in range(64):
        way = ways.choose(4)
        chosen.append(way)
        ways.observe(1 if way == "shared" else 3)
    assert set(chosen[:2]) == set(WAYS)
    assert chosen[2:].count("shared") == 4
    for _ in range(64):  # the text changes
        way = ways.choose(4)
        chosen.append(way)
        ways.observe(3 if way == "shared" else 0)
    assert chosen[-40:].count("text") <= 3
