"""SentencePiece tokenizers out of GGUF files, against the sentencepiece library itself, which trained them."""

import io
import itertools
from pathlib import Path
from typing import Any, Final

import pytest
import sentencepiece
from mlx_lm.tokenizer_utils import SPMStreamingDetokenizer
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.tokenizer import build_tokenizer, save_tokenizer
from mlx_spec.models.gguf.tokens import end_token_ids
from tests.models.gguf.record_tokenizer_ids import strings
from tests.models.gguf.tiny import TinyGGUF, tiny_gguf
from tests.models.text.sentences import one_sentence

SPACE: Final = "▁"
# sentencepiece ends a text at a zero byte, and takes a separator of its own out of it.
STRINGS: Final = [text for text in strings() if "\0" not in text and SPACE not in text]
# What it is trained on: the letters of other scripts have no tokens then, and are spelt as bytes.
LATIN: Final = [text for text in STRINGS if text.isprintable() and max(text, default="") < "\u0250"]
USER_DEFINED: Final = ["<h1>", "\n\n", SPACE * 2, SPACE * 3]
CONTROL: Final = ["<start_of_turn>", "<end_of_turn>"]


def trained(kind: str, *, prefix: bool, user_defined: list[str] | None = None) -> sentencepiece.SentencePieceProcessor:
    """A small model with byte fallback and its text left as it is, as Llama's and Gemma's have it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LATIN),
        model_writer=model,
        model_type=kind,
        vocab_size=900 if kind == "bpe" else 450,
        byte_fallback=True,
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        character_coverage=1.0,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        control_symbols=CONTROL,
        user_defined_symbols=user_defined or [],
        minloglevel=2,
        num_threads=1,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def in_gguf(
    spm: sentencepiece.SentencePieceProcessor, model: str, *, prefix: bool, user_defined: bool = False
) -> TinyGGUF:
    """A file with this tokenizer, its fields as llama.cpp's converter fills them."""
    kinds, tokens = [], []
    for index in range(len(spm)):
        text, kind = spm.id_to_piece(index), 1
        if spm.is_unknown(index):
            kind = 2
        elif spm.is_control(index):
            kind = 3
        elif spm.is_byte(index):
            kind = 6
        elif text in USER_DEFINED and user_defined:
            kind, text = 4, text.replace(SPACE, " ")
        tokens.append(text)
        kinds.append(kind)
    file = tiny_gguf()
    for key in ("pre", "merges", "add_bos_token"):
        del file.metadata[f"tokenizer.ggml.{key}"]
    fields: dict[str, Any] = {
        "model": model, "tokens": tokens, "token_type": kinds, "bos_token_id": spm.bos_id(),
        "eos_token_id": spm.eos_id(), "unknown_token_id": spm.unk_id(), "add_space_prefix": prefix,
    }  # fmt: skip
    file.metadata |= {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    file.metadata["tokenizer.ggml.scores"] = [float(spm.get_score(index)) for index in range(len(spm))]
    return file


def built(file: TinyGGUF, folder: Path) -> Tokenizer:
    return build_tokenizer(read_header(file.write(folder / "x.gguf")))


@pytest.mark.parametrize(("kind", "model"), [("bpe", "llama"), ("unigram", "t5")])
@pytest.mark.parametrize("prefix", [True, False])
def test_every_id_is_sentencepieces(kind: str, model: str, prefix: bool, tmp_path: Path) -> None:
    spm = trained(kind, prefix=prefix)
    tokenizer = built(in_gguf(spm, model, prefix=prefix), tmp_path)
    texts = [text for text in STRINGS if not any(name in text for name in ["<s>", "</s>", "<unk>", *CONTROL])]
    # Of two ways with the same score, a run of spaces cut here or there, unigram models may take either.
    form = sorted if kind == "unigram" else list
    differing = [
        (text, mine, spm.encode(text))
        for text in texts
        if form(mine := tokenizer.encode(text, add_special_tokens=False).ids) != form(spm.encode(text))
    ]
    assert differing == []
    assert any(spm.is_byte(index) for text in texts for index in spm.encode(text))


def test_tokens_that_users_defined_are_found_and_gemmas_spaces_too(tmp_path: Path) -> None:
    spm = trained("bpe", prefix=False, user_defined=USER_DEFINED)
    tokenizer = built(in_gguf(spm, "llama", prefix=False, user_defined=True), tmp_path)
    for text in ["<h1>Title", "a\n\nb", "a   b", "  x", "<h1>\n\n   if x:\n\n  pass", "a b c"]:
        assert tokenizer.encode(text, add_special_tokens=False).ids == spm.encode(text)


@pytest.mark.parametrize("prefix", [True, False])
def test_every_text_comes_back_through_mlx_lm_and_while_it_streams(prefix: bool, tmp_path: Path) -> None:
    header = read_header(in_gguf(trained("bpe", prefix=prefix), "llama", prefix=prefix).write(tmp_path / "x.gguf"))
    save_tokenizer(header, build_tokenizer(header), tmp_path, 256)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    tokenizer = load_tokenizer(tmp_path)
    assert isinstance(tokenizer.detokenizer, SPMStreamingDetokenizer)
    for text in STRINGS[:400]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        streamed = tokenizer.detokenizer
        for index in ids:
            streamed.add_token(index)
        streamed.finalize()
        assert streamed.text == text


def test_control_tokens_are_never_spelt_and_bos_comes_first(tmp_path: Path) -> None:
    spm = trained("bpe", prefix=True)
    file = in_gguf(spm, "llama", prefix=True)
    tokenizer = built(file, tmp_path)
    turn, end = (spm.piece_to_id(name) for name in CONTROL)
    ids = tokenizer.encode("<start_of_turn>user\nHi<end_of_turn>").ids
    assert ids[:2] == [spm.bos_id(), turn]
    assert ids[-1] == end
    assert spm.decode(ids[2:-1]) == "user\nHi"
    assert end_token_ids(read_header(tmp_path / "x.gguf")) == [spm.eos_id(), end]
    file.metadata["tokenizer.ggml.add_bos_token"] = False
    assert built(file, tmp_path).encode("<start_of_turn>").ids == [turn]


def phi_3(name: str) -> TinyGGUF:
    """A few of Phi-3's tokens with their own ids among 32,064; `</s>` is user-defined, as in its file."""
    tokens = {
        0: "<unk>",
        1: "<s>",
        2: "</s>",
        263: "▁a",
        289: "▁b",
        15043: "▁Hello",
        29871: SPACE,
        32000: "<|endoftext|>",
    }
    tokens |= {3 + byte: f"<0x{byte:02X}>" for byte in range(256)}
    tokens |= {32001: "<|assistant|>", 32006: "<|system|>", 32007: "<|end|>", 32010: "<|user|>"}
    tokens |= dict(enumerate(["▁H", "el", "lo", "ello", *"Helo", "a", "b"], start=31000))
    kinds = dict.fromkeys((0, 1, 32000, 32001, 32006, 32007, 32010), 3) | {2: 4}
    kinds |= dict.fromkeys(range(3, 259), 6)
    file = tiny_gguf()
    for key in ("pre", "merges", "add_bos_token"):
        del file.metadata[f"tokenizer.ggml.{key}"]
    fields = {
        "model": "llama", "tokens": [tokens.get(index, f"\ue000{index}") for index in range(32064)],
        "token_type": [kinds.get(index, 1) for index in range(32064)], "scores": [-float(i) for i in range(32064)],
        "bos_token_id": 1, "eos_token_id": 32000, "unknown_token_id": 0, "add_space_prefix": True,
    }  # fmt: skip
    file.metadata |= {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    file.metadata |= {"general.architecture": "phi3", "general.name": name}
    return file


@pytest.mark.parametrize("name", ["Phi3", "Phi 3 Mini 4K", "my own finetune", "Phi-3-mini-4k-instruct"])
def test_phi_3_drops_spaces_after_its_control_tokens_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    """The ids are llama.cpp's, with its own models/ggml-vocab-phi-3.gguf."""
    tokenizer = built(phi_3(name), tmp_path)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    assert ids("<|user|>\nHello<|end|>\n<|assistant|>\n") == [32010, 15043, 32007, 32001]
    assert ids("a</s> b") == [263, 2, 289]
    assert ids("<s> b")[-2:] == [29871, 289]  # there it keeps them


def test_a_model_that_is_called_phi_3_and_is_another_keeps_its_spaces(tmp_path: Path) -> None:
    file = phi_3("phi-3")
    file.metadata["general.architecture"] = "llama"
    assert built(file, tmp_path).encode("<|end|> b", add_special_tokens=False).ids == [32007, 29871, 289]


@pytest.mark.parametrize(
    ("key", "value"),
    [("scores", [1.0]), ("token_type", [1]), ("unknown_token_id", 10_000), ("tokens", ["a"] * 900)],
)
def test_a_damaged_vocabulary_is_one_sentence(key: str, value: Any, tmp_path: Path) -> None:
    file = in_gguf(trained("bpe", prefix=True), "llama", prefix=True)
    file.metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(CorruptModelError) as caught:
        built(file, tmp_path)
    assert "x.gguf" in one_sentence(caught.value)


def test_the_samples_have_what_tokenizers_stumble_over() -> None:
    letters = set(itertools.chain.from_iterable(STRINGS))
    assert {"\t", "\n", "é", "😀"} <= letters
    assert any("   " in text for text in STRINGS)
