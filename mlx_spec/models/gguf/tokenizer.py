"""The tokenizer inside a GGUF file, rebuilt with `tokenizers`; every id is the file's own."""

import json
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, processors

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf.byte_level import byte_level_tokenizer, split_of
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.gguf.sentencepiece import merging_tokenizer, sentencepiece_tokenizer
from mlx_spec.models.gguf.tokens import CONTROL, UNKNOWN, USER_DEFINED, GGUFTokens, read_tokens

_BYTE_LEVEL: Final = "gpt2"
_MERGING: Final = "gemma4"
_SENTENCEPIECE: Final = frozenset({"llama", "t5"})
# Phi-3's own tokenizer drops the spaces after its added tokens, but for these; the file does not say so.
_PHI3_KEEP_SPACES: Final = frozenset({"<unk>", "<s>", "<|endoftext|>"})
# One bos, as llama.cpp has it: the template may write it, or leave it to the tokenizer.
_ONE_BOS: Final = "{%% set whole %%}%s{%% endset %%}{{ whole if whole.startswith(bos_token) else bos_token + whole }}"


def build_tokenizer(header: GGUFHeader) -> Tokenizer:
    """Return the tokenizer of a GGUF file.

    Raises UnsupportedModelError for a kind of tokenizer or a split that is not known, CorruptModelError for a
    vocabulary, scores or merges that contradict themselves.
    """
    kind, tokens = _kind(header), read_tokens(header)
    if kind == _BYTE_LEVEL:
        tokenizer = byte_level_tokenizer(header, tokens.ids())
    elif kind == _MERGING:
        tokenizer = merging_tokenizer(header, tokens)
    elif kind in _SENTENCEPIECE:
        tokenizer = sentencepiece_tokenizer(header, tokens)
    else:
        raise UnsupportedModelError(
            f"{header.path} has a tokenizer of the kind '{kind}', and only byte-level BPE and SentencePiece are known."
        )
    tokenizer.add_tokens(_added_tokens(header, tokens))
    if adds_bos(header):
        first = token_text(header, "bos")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, tokens.texts.index(first))]
        )
    elif kind == _BYTE_LEVEL:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def _kind(header: GGUFHeader) -> str:
    kind = header.text("tokenizer.ggml.model")
    return _MERGING if kind == _BYTE_LEVEL and header.metadata.get("tokenizer.ggml.pre") == _MERGING else kind


def _added_tokens(header: GGUFHeader, tokens: GGUFTokens) -> list[AddedToken]:
    # Phi-4 is of the same architecture, but its tokenizer is another.
    phi3 = header.text("general.architecture", "") == "phi3" and _kind(header) in _SENTENCEPIECE
    ids = tokens.ids()
    return [
        AddedToken(
            text,
            special=kind != USER_DEFINED,
            normalized=False,
            rstrip=phi3 and text not in _PHI3_KEEP_SPACES,
        )
        for text, kind in zip(tokens.texts, tokens.kinds, strict=True)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED) and text in ids
    ]


def adds_bos(header: GGUFHeader) -> bool:
    """Return whether a prompt begins with the bos token; where the file does not say, as llama.cpp assumes."""
    kind = _kind(header)
    if kind == _MERGING:
        return True  # Gemma 4's files may deny it.
    unasked = kind == "llama" or (kind == _BYTE_LEVEL and split_of(header).begins)
    return header.flag("tokenizer.ggml.add_bos_token", unasked)


def token_text(header: GGUFHeader, role: str) -> str:
    """Return the text of the token with the `role` bos or eos. Raises CorruptModelError when there is none."""
    tokens, index = header.texts("tokenizer.ggml.tokens"), header.integer(f"tokenizer.ggml.{role}_token_id")
    if not 0 <= index < len(tokens):
        raise CorruptModelError(f"{header.path} names {index} as its {role} token, but has {len(tokens)} tokens.")
    return tokens[index]


def save_tokenizer(header: GGUFHeader, tokenizer: Tokenizer, folder: Path, context_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, with the chat template when the file has one."""
    tokenizer.save(str(folder / "tokenizer.json"))
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
        template = header.text("tokenizer.chat_template")
        config["chat_template"] = _ONE_BOS % template if template and adds_bos(header) else template
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
