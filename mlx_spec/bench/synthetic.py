"""A pair of random llamas with made-up words, built in code: for measuring what is not the models."""

import json
import tempfile
from pathlib import Path
from typing import Final

import mlx.core as mx
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel

from mlx_spec.models.loading import ModelPair

VOCAB: Final = 4096
_CONTEXT: Final = 2048


def narrow_pair(*, target_layers: int = 24, draft_layers: int = 4, width: int = 64) -> ModelPair:
    """A target and a draft that seldom agree, of `width` hidden units each; no token ends an answer."""
    return ModelPair(
        target=_random_llama(1, target_layers, width),
        draft=_random_llama(2, draft_layers, width),
        tokenizer=_words(),
        target_name=f"random, {target_layers} layers",
        draft_name=f"random, {draft_layers} layers",
        name="random",
        context_length=_CONTEXT,
        vocab_size=VOCAB,
    )


def _random_llama(seed: int, layers: int, width: int) -> Model:
    mx.random.seed(seed)
    model = Model(
        ModelArgs(
            model_type="llama",
            hidden_size=width,
            num_hidden_layers=layers,
            intermediate_size=2 * width,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=VOCAB,
            rope_theta=10000.0,
            tie_word_embeddings=True,
        )
    )
    mx.eval(model.parameters())
    return model


def _words() -> TokenizerWrapper:
    words = Tokenizer(WordLevel({f"w{index} ": index for index in range(VOCAB)}, unk_token="w0 "))
    words.decoder = decoders.Fuse()
    with tempfile.TemporaryDirectory() as folder:
        words.save(str(Path(folder) / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        return load_tokenizer(Path(folder))
