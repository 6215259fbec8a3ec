"""Tiny real models for tests: random llamas with a byte tokenizer, and a table model whose distribution is known.

They run through the same mlx-lm caches and the same decoder as large ones, in milliseconds.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map
from mlx_lm.models.cache import KVCache
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from mlx_spec.models.loading import ModelPair

TINY_VOCAB = 259
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> TokenizerWrapper:
    """One token a byte, and three special ones. Every string encodes, and an emoji is split over four tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return _chatting(backend)


def learned_tokenizer(text: str, size: int = 1_024) -> TokenizerWrapper:
    """Tokens that are frequent in `text`, of several bytes most of them: a long prompt is a few thousand, not tens."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([text], BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    return _chatting(backend)


def _chatting(backend: Tokenizer) -> TokenizerWrapper:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend.add_special_tokens([AddedToken(name, special=True) for name in specials])
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", bos_token="<|im_start|>")
    fast.chat_template = CHAT_TEMPLATE
    return TokenizerWrapper(fast)


def tiny_llama(seed: int, *, layers: int = 2, hidden: int = 32, vocab: int = TINY_VOCAB, scale: float = 8.0) -> Model:
    """A random llama whose logits are spread enough for sampling to matter."""
    args = ModelArgs(
        model_type="llama",
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=2 * hidden,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=vocab,
        rope_theta=10000.0,
        tie_word_embeddings=False,
    )
    mx.random.seed(seed)
    model = Model(args)
    model.model.norm.weight = mx.full((hidden,), scale)
    mx.eval(model.parameters())
    return model


def tiny_pair(seed: int = 0, *, closeness: float = 0.9) -> ModelPair:
    """A target and a draft that agrees with it now and then: the same weights, mixed with noise of `1 - closeness`."""
    target, draft = tiny_llama(seed), tiny_llama(seed)
    other = tiny_llama(seed + 1000)
    mixed = tree_map(lambda a, b: closeness * a + (1 - closeness) * b, draft.parameters(), other.parameters())
    draft.update(mixed)
    mx.eval(draft.parameters())
    return pair_of(target, draft)


def pair_of(target: nn.Module, draft: nn.Module | None, *, vocab: int = TINY_VOCAB, context: int = 2048) -> ModelPair:
    """Any two models as a pair with the byte tokenizer."""
    return ModelPair(
        target=target,
        draft=draft,
        tokenizer=byte_tokenizer(),
        target_name="tiny-target",
        draft_name="tiny-draft" if draft is not None else None,
        name="tiny",
        context_length=context,
        vocab_size=vocab,
    )


def holding(decoder: Any, *, holds: bool = True) -> Any:
    """A decoder that has it that passes of any width leave its target's rows their bits, or that they do not."""
    decoder._knowledge.rows_hold = lambda config: holds
    return decoder


class TableModel(nn.Module):
    """A language model whose next-token logits are looked up by the last two tokens: exactly enumerable.

    It reads the token before out of a real `KVCache`, so a cache that was rolled back wrongly gives wrong logits.
    """

    def __init__(self, table: mx.array) -> None:
        super().__init__()
        self.table = table  # [vocab, vocab, vocab]: logits after (token before, token)

    @property
    def layers(self) -> list[None]:
        """One cache for mlx-lm to make."""
        return [None]

    def make_cache(self) -> list[KVCache]:
        """The cache holds positions as keys and token ids as values."""
        return [KVCache()]

    def __call__(self, inputs: mx.array, cache: list[KVCache] | None = None) -> mx.array:
        assert cache is not None
        count, offset = inputs.shape[1], mx.array(cache[0].offset)
        own = offset if offset.ndim else offset + mx.arange(count)  # in a tree every token has a position of its own
        mask = cache[0].make_mask(count, return_array=True, window_size=None)
        columns = [row.astype(mx.float32)[None, None, :, None] for row in (own, inputs[0])]
        places, tokens = (array[0, 0, :, 0].astype(mx.int32) for array in cache[0].update_and_fetch(*columns))
        before = places[None] == own[:, None] - 1
        before = before if mask is None else before & mask
        previous = mx.where(own > 0, tokens[mx.argmax(before, axis=-1)], 0)
        return self.table[previous, inputs[0]][None]
