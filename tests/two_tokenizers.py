"""Small tokenizers of the kinds that models have, trained on a few sentences: byte-level and sentencepiece."""

import json
from functools import cache

from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordLevel
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on.",
    "def area(width, height):\n    return width * height\n",
    "Speculation may change the speed, never the words: the words are the target's own.",
    "Why is the sky blue? Because the air scatters the blue light more than the red light.",
    "Größe, naïve, café, 東京の空は青い。 🙂🙂 emoji 🚀 and π ≈ 3.14159.",
]
OTHER_SENTENCES = [
    "the height of the light tower over the other tower is the width of a river",
    "Never have words been so blue: targets change, speeds change, and the fox is quicker than the dog.",
    "    return the.speed(width=3, height=4)\n    # jumps over naïve cafés, Größe 42 π\n",
]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def _wrapped(backend: Tokenizer, **roles: str) -> TokenizerWrapper:
    return TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=backend, **roles))


@cache
def byte_level(size: int = 330) -> TokenizerWrapper:
    """As SmolLM2, Qwen and Llama 3: merges over bytes, every string encodes."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size - 2, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(SENTENCES, trainer)
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", "<|im_end|>")])
    return _wrapped(backend, bos_token="<|im_start|>", eos_token="<|im_end|>")


@cache
def llama_like(size: int = 400) -> TokenizerWrapper:
    """As Llama 2, TinyLlama and Mistral: merges over characters, "▁" for spaces and in front, bytes at last."""
    learner = Tokenizer(BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=size - 259, limit_alphabet=60, show_progress=False)
    learner.train_from_iterator(OTHER_SENTENCES, trainer)
    learned = json.loads(learner.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *BYTE_TOKENS, *sorted(learned["vocab"], key=learned["vocab"].get)]
    merges = [tuple(merge) for merge in learned["merges"]]
    vocab = {name: i for i, name in enumerate(names)}
    backend = Tokenizer(BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("<unk>", "<s>", "</s>")])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _wrapped(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@cache
def unigram_like(size: int = 420) -> TokenizerWrapper:
    """As T5 and XLNet: pieces with scores, "▁" from a pre-tokenizer, bytes as a last resort."""
    learner = Tokenizer(Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size - 259, unk_token="<unk>", show_progress=False)
    learner.train_from_iterator(OTHER_SENTENCES, trainer)
    learned = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"] if piece != "<unk>"]
    pieces = [(name, 0.0) for name in ("<unk>", "<s>", "</s>")] + [(name, -20.0) for name in BYTE_TOKENS] + learned
    backend = Tokenizer(Unigram(pieces, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("<unk>", "<s>", "</s>")])
    return _wrapped(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def words(*tokens: str) -> TokenizerWrapper:
    """A vocabulary of these tokens and an end, for distributions that can be enumerated."""
    backend = Tokenizer(WordLevel({token: i for i, token in enumerate([*tokens, "<end>"])}, unk_token="<end>"))
    backend.add_special_tokens([AddedToken("<end>", special=True)])
    return _wrapped(backend, eos_token="<end>", unk_token="<end>")
