"""Trees change how soon the words come, never the words: plain decoding's for every shape, drafter and architecture."""

import math
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import AcceptanceRule
from mlx_spec.decoding.drafters.base import DrawSettings
from mlx_spec.decoding.drafters.growth import favourites, grow
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties
from tests.decoding.test_distribution import CHANCE, HOSTILE_P, HOSTILE_Q, VOCAB, least_p_value, table
from tests.tiny import TINY_VOCAB, TableModel, pair_of, tiny_pair
from tests.zoo import VOCAB as ZOO_VOCAB
from tests.zoo import WINDOW, mixed, zoo_model

SHAPES = [Shape((2, 2, 2)), Shape((3, 2, 1)), Shape((4,)), Shape((3, 3, 3), nodes=8), Shape((2,) * 5, nodes=12)]


@pytest.fixture
def shaped(monkeypatch: pytest.MonkeyPatch):
    """A decoder whose every round drafts one shape."""

    def make(pair: ModelPair, shape: Shape, drafter: str = "model", **config: object) -> SpeculativeDecoder:
        monkeypatch.setattr("mlx_spec.decoding.knowledge.controller", lambda *_: FixedLookahead(3, shape))
        return SpeculativeDecoder(pair, SpeculativeConfig(tree_speculation=True, **config), drafter=drafter)

    return make


@pytest.mark.in_turn
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(seed=1),
        SamplingParams(temperature=0.7, top_p=0.9, seed=2),
        SamplingParams(temperature=1.2, seed=3),
        SamplingParams(temperature=1.0, seed=4, repetition_penalty=1.3, frequency_penalty=0.4, presence_penalty=0.2),
    ],
    ids=["T0", "T0.7-p0.9", "T1.2", "penalties"],
)
def test_the_words_are_plain_decodings(shaped, shape: Shape, params: SamplingParams) -> None:
    pair = tiny_pair(5, closeness=0.8)
    decoder = shaped(pair, shape)
    prompt = pair.encode("a tree, a tree, a tree")
    events = list(decoder.stream(prompt, params, 70))
    *_, plain = decoder.stream(prompt, params, 70, drafter="none")
    assert events[-1].token_ids == plain.token_ids
    rounds = [event for event in events if isinstance(event, RoundFinished)]
    assert any(len(r.drafted) > 1 for r in rounds)
    taken = [r for r in rounds if r.accepted_count]
    assert taken
    for r in taken:  # the accepted tokens are one path, from the text on
        path = [i for i, token in enumerate(r.drafted) if token.state == "accepted"]
        assert [r.drafted[i].parent for i in path] == [-1, *path[:-1]]
        assert [r.drafted[i].token_id for i in path] == [token.token_id for token in r.emitted[: len(path)]]


def test_the_second_guess_is_taken_too(shaped) -> None:
    decoder = shaped(tiny_pair(5, closeness=0.8), Shape((3, 2)))
    second = 0
    for seed in range(4):
        for event in decoder.stream([1, 2, 3], SamplingParams(temperature=1.0, seed=seed), 60):
            if isinstance(event, RoundFinished):
                roots = [token.state for token in event.drafted if token.parent == -1]
                second += "accepted" in roots[1:]
    assert second > 3


@pytest.mark.in_turn
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "gpt_oss", "deepseek_v3", "qwen3_moe", "phi3"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_words_are_plain_decodings_past_a_sliding_window(shaped, name: str, temperature: float) -> None:
    """Where the draft has a window itself it drafts chains, and n-grams branch."""
    target = zoo_model(name)
    pair = pair_of(target, mixed(target, zoo_model(name, 1), 0.9), vocab=ZOO_VOCAB)
    for drafter in ("model", "ngram"):
        decoder = shaped(pair, SHAPES[1], drafter)
        params = SamplingParams(temperature=temperature, seed=9)
        *_, ours = decoder.stream([1, 2, 3, 1, 2, 4, 1, 2], params, 4 * WINDOW)
        *_, plain = decoder.stream([1, 2, 3, 1, 2, 4, 1, 2], params, 4 * WINDOW, drafter="none")
        assert ours.token_ids == plain.token_ids


def test_a_recurrent_target_is_served_with_chains(shaped) -> None:
    target = zoo_model("mamba2")
    pair = pair_of(target, mixed(target, zoo_model("mamba2", 1), 0.95), vocab=ZOO_VOCAB)
    decoder = shaped(pair, SHAPES[0])
    events = list(decoder.stream([1, 2, 3], SamplingParams(seed=1), 30))
    *_, plain = decoder.stream([1, 2, 3], SamplingParams(seed=1), 30, drafter="none")
    assert events[-1].token_ids == plain.token_ids
    drafts = [[token.parent for token in e.drafted] for e in events if isinstance(e, RoundFinished)]
    assert max(map(len, drafts)) > 1
    assert all(parents == list(range(-1, len(parents) - 1)) for parents in drafts)


def test_ngrams_branch_where_the_text_went_on_in_two_ways(shaped) -> None:
    pair = tiny_pair(5)
    decoder = shaped(pair, Shape((2, 1, 1)), "ngram")
    prompt = [9, 1, 2, 3, 4, 5, 8, 2, 3, 6, 7, 1, 2, 3]
    events = list(decoder.stream(prompt, SamplingParams(seed=1), 4))
    first = next(event for event in events if isinstance(event, RoundFinished))
    assert [(t.token_id, t.parent) for t in first.drafted] == [(4, -1), (5, 0), (8, 1), (6, -1), (7, 3), (1, 4)]


def table_pair(p: np.ndarray, q: np.ndarray) -> ModelPair:
    return pair_of(TableModel(mx.array(p)), TableModel(mx.array(q)), vocab=VOCAB)


@pytest.mark.parametrize("shape", [Shape((3, 3, 3)), Shape((2, 1)), Shape((3, 3, 3), nodes=9)], ids=str)
def test_every_token_has_the_targets_distribution_under_token(shaped, shape: Shape) -> None:
    """Depth 3 × branching 3, drawn without replacement, and the k best, each with its own residual."""
    for p, q in ((table(1), table(2)), (HOSTILE_P, HOSTILE_Q)):
        decoder = shaped(table_pair(p, q), shape, acceptance="token")
        assert least_p_value(decoder, p, SamplingParams(temperature=1.0)) >= CHANCE
        assert decoder.stats().accepted_tokens > 0


def test_coupled_trees_have_the_targets_distribution(shaped) -> None:
    decoder = shaped(table_pair(table(1), table(2)), Shape((3, 2, 2)))
    assert least_p_value(decoder, table(1), SamplingParams(temperature=1.0)) >= CHANCE


def test_siblings_that_are_tried_against_all_of_p_are_noticed(shaped, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: a rejection takes nothing off what the next sibling is tried against."""
    monkeypatch.setattr("mlx_spec.acceptance.tree_rules._normalised", lambda mass, otherwise: otherwise)
    decoder = shaped(table_pair(HOSTILE_P, HOSTILE_Q), Shape((3, 1)), acceptance="token")
    assert least_p_value(decoder, HOSTILE_P, SamplingParams(temperature=1.0)) < CHANCE


def test_best_children_handed_over_as_if_they_were_drawn_are_noticed(shaped, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: the k best, judged with the q that drawn siblings would have."""
    monkeypatch.setattr(DrawSettings, "noisy", lambda self, rows, *_: rows)
    decoder = shaped(table_pair(HOSTILE_P, HOSTILE_Q), Shape((2, 2)), acceptance="token")
    assert least_p_value(decoder, HOSTILE_P, SamplingParams(temperature=1.0)) < CHANCE


@pytest.mark.parametrize("rule", ["coupled", "token", "typical"])
def test_a_wider_tree_accepts_more(shaped, rule: AcceptanceRule) -> None:
    pair, reached = tiny_pair(5, closeness=0.8), []
    for width in (1, 3):
        decoder = shaped(pair, Shape((width, width)), acceptance=rule)
        for seed in range(6):
            list(decoder.stream([1, 2, 3], SamplingParams(temperature=1.0, seed=seed), 60))
        reached.append(decoder.stats().mean_tokens_per_pass)
    assert reached[1] > reached[0] + 0.05


def test_typical_says_that_it_is_lossy_over_trees(shaped) -> None:
    decoder = shaped(tiny_pair(5), Shape((2, 2)), acceptance="typical")
    *_, end = decoder.stream([1, 2, 3], SamplingParams(temperature=1.0, seed=1), 30)
    assert isinstance(end, GenerationFinished)
    assert not end.stats.lossless


def draw_settings(rule: AcceptanceRule, temperature: float = 1.0) -> DrawSettings:
    params = SamplingParams(temperature=temperature, seed=3)
    return DrawSettings(params, rule, 3, NoiseTable(3, TINY_VOCAB), Penalties(params, TINY_VOCAB))


def test_the_best_tree_is_the_best_of_all_paths() -> None:
    """EAGLE-2's: with every candidate expanded, the nodes kept are those of the likeliest paths there are."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, TINY_VOCAB, TINY_VOCAB)).astype(np.float32) * 3  # by depth and newest token
    root = mx.array(rng.normal(size=TINY_VOCAB).astype(np.float32) * 3)
    depths = []

    def expand(token_ids: mx.array, parents: mx.array, placement: object) -> mx.array:
        depths.append(placement.depths.tolist())
        return mx.array(logits[placement.depths[0].item()])[token_ids]

    shape = Shape((4, 4, 4), nodes=10)
    grown = grow(shape, draw_settings("token"), 0, 0, root, expand)
    tree, token_ids = grown.draft.nodes, grown.draft.token_ids.tolist()
    assert depths == [[0] * 4, [1] * 4]

    def log_softmax(row: np.ndarray) -> np.ndarray:
        return row - np.log(np.exp(row - row.max()).sum()) - row.max()

    def likelihood(path: tuple[int, ...]) -> float:
        rows = [np.array(root), *(logits[d][token_ids[node - 1]] for d, node in enumerate(path[:-1]))]
        return sum(log_softmax(row)[token_ids[node - 1]] for row, node in zip(rows, path, strict=True))

    kept = sorted(likelihood(tree.path(node)) for node in range(1, tree.size + 1))
    everything = []
    level = [((), 0.0, np.array(root))]
    for depth in range(3):
        below = []
        for path, likely, row in level:
            own = log_softmax(row)
            for token_id in np.argsort(-own)[:4]:
                everything.append(likely + own[token_id])
                below.append(((*path, token_id), likely + own[token_id], logits[depth][token_id]))
        level = sorted(below, key=lambda node: -node[1])[:4]
    np.testing.assert_allclose(kept, sorted(everything)[-10:], rtol=1e-4)
    assert grown.draft.greedy
    assert grown.kept([1]) == [0]


def test_favourites_are_in_order_and_different() -> None:
    rows = mx.array([[1.0, 5.0, 3.0, -math.inf], [2.0, 2.0, -math.inf, -math.inf]])
    assert favourites(rows, 2).tolist() == [[1, 2], [0, 1]]
    assert sorted(favourites(rows, 4)[1].tolist()) == [0, 1, 2, 3] or len(set(favourites(rows, 2)[1].tolist())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acceptance": "block"}, "coupled, token or typical where tree_speculation is on"),
        ({"controller": "threshold"}, "cost where tree_speculation is on"),
        ({"max_tree_depth": 8, "tree_branching_factor": 4}, "so low that a tree with 4 children a node has 128 tokens"),
        ({"tree_branching_factor": 9}, "from 1 to 8"),
        ({"max_tree_depth": 8, "tree_branching_factor": 8, "max_tree_nodes": 129}, "from 8 to 128"),
        ({"max_tree_nodes": 2}, "from 3 to 128"),
        ({"tree_speculation": 1}, "True or False"),
    ],
)
def test_what_a_tree_cannot_be_is_said(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SpeculativeConfig(tree_speculation=True), **change)
