"""What a rank has of a model's ends, and what heads on rank 0 draft with."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import llama

from mlx_spec.models.heads.ends import target_ends
from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.split import Split, Way
from tests.models.splitting.test_ranks import SIZES
from tests.models.splitting.test_ways import made


def share(way: Way, rank: int, **sizes: Any) -> nn.Module:
    """A rank's part of the same model each time."""
    mx.random.seed(3)
    model = made(**sizes)()
    divide(model, Split(way, 2), Links(None, rank, 2), "it")
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("way", ["tensor", "pipeline"])
def test_heads_embed_and_score_on_rank_0_as_with_the_whole_model(way: Way, *, tied: bool) -> None:
    mx.random.seed(3)
    whole = target_ends(made(tie_word_embeddings=tied)())
    here = target_ends(share(way, 0, tie_word_embeddings=tied))
    token_ids = mx.array([5, 9, 2])
    assert (here.vocab_size, here.layers, here.hidden_size) == (whole.vocab_size, whole.layers, whole.hidden_size)
    assert mx.array_equal(here.embed(token_ids), whole.embed(token_ids)).item()
    states = whole.embed(token_ids)
    assert mx.array_equal(here.output(states), whole.output(states)).item()


@pytest.mark.parametrize("way", ["tensor", "pipeline"])
def test_only_rank_0_has_the_head(way: Way) -> None:
    def names(rank: int) -> list[str]:
        return [name for name, module in share(way, rank).named_modules() if isinstance(module, nn.Linear)]

    assert "lm_head" in names(0)
    assert "lm_head" not in names(1)


@pytest.mark.parametrize(("tied", "counts"), [(False, [0, 1]), (True, [1, 0])])
def test_a_pipelines_embedding_is_with_the_first_layers_unless_it_is_the_head_too(
    counts: list[int], *, tied: bool
) -> None:
    shares = [share("pipeline", rank, tie_word_embeddings=tied) for rank in (0, 1)]
    embeddings = [[one for one in each.modules() if isinstance(one, nn.Embedding)] for each in shares]
    assert [len(each) for each in embeddings] == counts


class _LooksUpTwice(llama.Model):  # type: ignore[misc]
    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        self.model.embed_tokens(inputs)
        scores: mx.array = super().__call__(inputs, cache)
        return scores


def test_a_model_that_looks_its_tokens_up_twice_keeps_a_tied_embedding_at_both_ends() -> None:
    sizes = {"model_type": "llama", **SIZES, "tie_word_embeddings": True}
    for rank in (0, 1):
        model = _LooksUpTwice(llama.ModelArgs.from_dict(sizes))
        divide(model, Split("pipeline", 2), Links(None, rank, 2), "it")
        assert len([one for one in model.modules() if isinstance(one, nn.Embedding)]) == 1


def test_other_ranks_layers_hold_nothing_and_still_tell_their_kind() -> None:
    kinds = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 8}
    leader = share("pipeline", 0, **kinds)
    assert len(leader.layers) == 4
    assert [bool(layer.parameters()) for layer in leader.layers] == [False, False, True, True]
    assert [layer.use_sliding for layer in leader.layers] == [True, False, True, False]
    assert [type(cache).__name__ for cache in leader.make_cache()] == ["RotatingKVCache", "KVCache"]
