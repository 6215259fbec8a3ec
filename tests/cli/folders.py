"""Tiny models in folders, as a command line names them."""

import json
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.tokenizer_utils import TokenizerWrapper

from tests.tiny import byte_tokenizer, learned_tokenizer, tiny_llama, tiny_pair


def save_folder(model: object, folder: Path, *, tokenizer: TokenizerWrapper | None = None, context: int = 300) -> str:
    """Write a tiny model in mlx-lm's layout; without a tokenizer every byte is a token."""
    folder.mkdir()
    args = model.args
    config = {
        "model_type": "llama",
        "hidden_size": args.hidden_size,
        "num_hidden_layers": args.num_hidden_layers,
        "intermediate_size": args.intermediate_size,
        "num_attention_heads": args.num_attention_heads,
        "num_key_value_heads": args.num_key_value_heads,
        "rms_norm_eps": args.rms_norm_eps,
        "vocab_size": args.vocab_size,
        "rope_theta": args.rope_theta,
        "tie_word_embeddings": False,
        "max_position_embeddings": context,
    }
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (tokenizer or byte_tokenizer())._tokenizer.save_pretrained(folder)
    return str(folder)


def pair_folders(folder: Path) -> tuple[str, str]:
    """A tiny target and its draft."""
    pair = tiny_pair(0)
    return save_folder(pair.target, folder / "target"), save_folder(pair.draft, folder / "draft")


def long_pair_folders(folder: Path, text: str) -> tuple[str, str]:
    """A tiny target and its draft with room for long texts, in whose tokens `text` takes a third of its bytes."""
    tokenizer = learned_tokenizer(text)
    vocab = len(tokenizer._tokenizer)
    target, draft = (
        save_folder(tiny_llama(0, vocab=vocab), folder / name, tokenizer=tokenizer, context=16_384)
        for name in ("target", "draft")
    )
    return target, draft
