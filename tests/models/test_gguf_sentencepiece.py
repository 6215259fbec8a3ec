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
from mlx_spec.models.gguf_header import read_header
from mlx_spec.models.gguf_tokenizer import build_tokenizer, save_tokenizer
from mlx_spec.models.gguf_tokens import end_token_ids
from tests.models.record_tokenizer_ids import strings
from tests.models.sentences import one_sentence
from tests.models.tiny_gguf import TinyGGUF, tiny_gguf

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


def test_phi_3_drops_spaces_after_its_control_tokens(tmp_path: Path) -> None:
    file = in_gguf(trained("bpe", prefix=True), "llama", prefix=True)
    kept = built(file, tmp_path).encode("<end_of_turn>  a").ids
    file.metadata["general.architecture"] = "phi3"
    dropped = built(file, tmp_path).encode("<end_of_turn>  a").ids
    assert dropped == built(file, tmp_path).encode("<end_of_turn>a").ids
    assert len(kept) > len(dropped)


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
