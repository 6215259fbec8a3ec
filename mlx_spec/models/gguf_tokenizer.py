"""The tokenizer inside a GGUF file, rebuilt with `tokenizers`: byte-level BPE with the split its field `pre` names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf_header import GGUFHeader

_CONTROL, _USER_DEFINED = 3, 4
_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS_AFTER_DIGITS: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_then_byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


def _words(digits: str) -> Callable[[], pre_tokenizers.PreTokenizer]:
    pattern = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}{_WORDS_AFTER_DIGITS}"

    def build() -> pre_tokenizers.PreTokenizer:
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    return build


# Each was compared with llama.cpp on the 715 strings of tests/models/record_tokenizer_ids.py, with this vocabulary
# and that split: all ids are equal, but for Qwen2's NFC step, which llama.cpp leaves out.
_SPLITS: Final[dict[str, Callable[[], pre_tokenizers.PreTokenizer]]] = {
    "smollm": _digits_then_byte_level,
    "gpt-2": _byte_level,
    "llama-bpe": _words(r"\p{N}{1,3}"),
    "qwen2": _words(r"\p{N}"),
}
# Control tokens that end an answer besides the one the file names: a model may end with its document end instead.
_END_TEXTS: Final = frozenset({"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>"})


def build_tokenizer(header: GGUFHeader) -> Tokenizer:
    """Return the tokenizer of a GGUF file; every id is the file's own.

    Raises UnsupportedModelError for a tokenizer that is not byte-level BPE or whose split is not known,
    CorruptModelError for a vocabulary or merges that contradict themselves.
    """
    model, split = header.text("tokenizer.ggml.model"), header.text("tokenizer.ggml.pre", "")
    if model != "gpt2" or split not in _SPLITS:
        name = split or "no pre-tokenizer" if model == "gpt2" else model
        raise UnsupportedModelError(
            f"{header.path} has a tokenizer of the kind '{name}', and only {', '.join(_SPLITS)} are known."
        )
    tokens = header.texts("tokenizer.ggml.tokens")
    tokenizer = Tokenizer(_merge_model(header, tokens, ignore_merges=split == "llama-bpe"))
    if split == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _SPLITS[split]()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(_added_tokens(header, tokens))
    if adds_bos(header):
        first = token_text(header, "bos")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, tokens.index(first))]
        )
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def _merge_model(header: GGUFHeader, tokens: list[str], *, ignore_merges: bool) -> BPE:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    halves = [merge.partition(" ") for merge in header.texts("tokenizer.ggml.merges")]
    merges = [(left, right) for left, _, right in halves]
    if len(vocabulary) != len(tokens) or not all(left and right for left, right in merges):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: tokens appear twice or merges are not pairs.")
    try:
        return BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges)
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error


def _added_tokens(header: GGUFHeader, tokens: list[str]) -> list[AddedToken]:
    kinds = header.integers("tokenizer.ggml.token_type")
    if len(kinds) != len(tokens):
        raise CorruptModelError(f"{header.path} has {len(tokens)} tokens, but {len(kinds)} token types.")
    return [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, kinds, strict=True)
        if kind in (_CONTROL, _USER_DEFINED)
    ]


def adds_bos(header: GGUFHeader) -> bool:
    """Return whether a prompt begins with the bos token; llama.cpp assumes so for llama-bpe files without the field."""
    return header.flag("tokenizer.ggml.add_bos_token", header.text("tokenizer.ggml.pre", "") == "llama-bpe")


def token_text(header: GGUFHeader, role: str) -> str:
    """Return the text of the token with the `role` bos or eos. Raises CorruptModelError when there is none."""
    tokens, index = header.texts("tokenizer.ggml.tokens"), header.integer(f"tokenizer.ggml.{role}_token_id")
    if not 0 <= index < len(tokens):
        raise CorruptModelError(f"{header.path} names {index} as its {role} token, but has {len(tokens)} tokens.")
    return tokens[index]


def end_token_ids(header: GGUFHeader) -> list[int]:
    """Return the ids that end an answer: the file's eos first, then other control tokens known to end one."""
    first = header.integer("tokenizer.ggml.eos_token_id")
    kinds = header.integers("tokenizer.ggml.token_type")
    tokens = header.texts("tokenizer.ggml.tokens")
    others = [i for i, kind in enumerate(kinds) if kind == _CONTROL and tokens[i] in _END_TEXTS and i != first]
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
