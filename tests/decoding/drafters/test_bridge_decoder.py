"""A draft with another tokenizer in the real round loop: plain decoding's own words."""

import pytest

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.token_map import TokenMap
from tests.tiny import tiny_llama
from tests.two_tokenizers import byte_level, llama_like


def bridged_pair() -> ModelPair:
    """Tiny models, each with a tokenizer of its own."""
    target, draft = byte_level(), llama_like()
    widths = len(target.get_vocab()), len(draft.get_vocab())
    return ModelPair(
        target=tiny_llama(1, vocab=widths[0]),
        draft=tiny_llama(2, vocab=widths[1]),
        tokenizer=target,
        target_name="tiny-target",
        draft_name="tiny-draft",
        name="bridged",
        context_length=512,
        vocab_size=widths[0],
        draft_tokenizer=draft,
        token_map=TokenMap(target, draft, *widths),
    )


@pytest.fixture(scope="module")
def bridged() -> ModelPair:
    return bridged_pair()


@pytest.mark.parametrize(("drafter", "lookahead"), [("model", 4), ("model", "auto"), ("auto", 8), ("auto", "auto")])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_words_are_plain_decodings(
    bridged: ModelPair, temperature: float, drafter: str, lookahead: int | str
) -> None:
    decoder = SpeculativeDecoder(bridged)
    prompt_ids = bridged.encode("The quick brown fox 🙂 jumps")
    params = SamplingParams(temperature=temperature, seed=3)
    answers = []
    for options in ({"drafter": "none"}, {"drafter": drafter, "lookahead": lookahead}):
        *_, end = decoder.stream(prompt_ids, params, 32, **options)
        assert isinstance(end, GenerationFinished)
        answers.append(end)
    assert answers[1].token_ids == answers[0].token_ids
    assert answers[1].text == answers[0].text
    assert answers[1].stats.draft_tokens > 0
