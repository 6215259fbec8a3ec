"""The tokenizer inside a GGUF file, rebuilt with `tokenizers`; every id is the file's own."""

import json
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, processors

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf_byte_level import byte_level_tokenizer, wants_bos
from mlx_spec.models.gguf_header import GGUFHeader
from mlx_spec.models.gguf_sentencepiece import sentencepiece_tokenizer

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_BYTE_LEVEL: Final = "gpt2"
_SENTENCEPIECE: Final = frozenset({"llama", "t5"})
# Tokens that end an answer besides the one the file names: a model may end with its document end instead.
_END_TEXTS: Final = frozenset(
    {"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>", "<end_of_turn>", "<|end|>"}
)
# Phi-3's own tokenizer drops the spaces after its control tokens, but for these; the file does not say so.
_PHI3_KEEP_SPACES: Final = frozenset({"<unk>", "<s>", "<|endoftext|>"})


def build_tokenizer(header: GGUFHeader) -> Tokenizer:
    """Return the tokenizer of a GGUF file.

    Raises UnsupportedModelError for a kind of tokenizer or a split that is not known, CorruptModelError for a
    vocabulary, scores or merges that contradict themselves.
    """
    model, tokens = header.text("tokenizer.ggml.model"), header.texts("tokenizer.ggml.tokens")
    kinds = header.integers("tokenizer.ggml.token_type")
    if len(kinds) != len(tokens):
        raise CorruptModelError(f"{header.path} has {len(tokens)} tokens, but {len(kinds)} token types.")
    if model == _BYTE_LEVEL:
        tokenizer = byte_level_tokenizer(header, tokens)
    elif model in _SENTENCEPIECE:
        tokenizer = sentencepiece_tokenizer(header, tokens, kinds)
    else:
        raise UnsupportedModelError(
            f"{header.path} has a tokenizer of the kind '{model}', and only byte-level BPE and SentencePiece are known."
        )
    tokenizer.add_tokens(_added_tokens(header, tokens, kinds))
    if adds_bos(header):
        first = token_text(header, "bos")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, tokens.index(first))]
        )
    elif model == _BYTE_LEVEL:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def _added_tokens(header: GGUFHeader, tokens: list[str], kinds: list[int]) -> list[AddedToken]:
    phi3 = "phi-3" in header.text("general.name", "").lower()
    return [
        AddedToken(
            token,
            special=kind != _USER_DEFINED,
            normalized=False,
            rstrip=phi3 and kind == _CONTROL and token not in _PHI3_KEEP_SPACES,
        )
        for token, kind in zip(tokens, kinds, strict=True)
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]


def adds_bos(header: GGUFHeader) -> bool:
    """Return whether a prompt begins with the bos token; where the file does not say, as llama.cpp assumes."""
    model = header.text("tokenizer.ggml.model")
    unasked = model == "llama" or (model == _BYTE_LEVEL and wants_bos(header))
    return header.flag("tokenizer.ggml.add_bos_token", unasked)


def token_text(header: GGUFHeader, role: str) -> str:
    """Return the text of the token with the `role` bos or eos. Raises CorruptModelError when there is none."""
    tokens, index = header.texts("tokenizer.ggml.tokens"), header.integer(f"tokenizer.ggml.{role}_token_id")
    if not 0 <= index < len(tokens):
        raise CorruptModelError(f"{header.path} names {index} as its {role} token, but has {len(tokens)} tokens.")
    return tokens[index]


def end_token_ids(header: GGUFHeader) -> list[int]:
    """Return the ids that end an answer: the file's eos first, then other tokens known to end one."""
    first = header.integer("tokenizer.ggml.eos_token_id")
    kinds = header.integers("tokenizer.ggml.token_type")
    tokens = header.texts("tokenizer.ggml.tokens")
    turn = header.metadata.get("tokenizer.ggml.eot_token_id")
    others = [
        index
        for index, kind in enumerate(kinds)
        if index != first and (index == turn or (kind in (_CONTROL, _USER_DEFINED) and tokens[index] in _END_TEXTS))
    ]
    return [first, *others]


def save_tokenizer(header: GGUFHeader, folder: Path, context_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, with the chat template when the file has one."""
    build_tokenizer(header).save(str(folder / "tokenizer.json"))
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": adds_bos(header),
        "model_max_length": context_length,
        "eos_token": token_text(header, "eos"),
    }
    if "tokenizer.ggml.bos_token_id" in header.metadata:
        config["bos_token"] = token_text(header, "bos")
    if "tokenizer.chat_template" in header.metadata:
        config["chat_template"] = header.text("tokenizer.chat_template")
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
