"""What the tokens of a GGUF file are, which of them end an answer, and the one bos in front: as llama.cpp has them."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.tokenizer import build_tokenizer
from mlx_spec.models.gguf.tokens import end_token_ids
from mlx_spec.models.loading import load_pair
from mlx_spec.models.pairs import Fit, fit
from mlx_spec.models.text.vocabulary import Vocabulary, vocabulary_of
from tests.models.gguf.tiny import TOKENS, TinyGGUF, byte_alphabet

QUESTION = [{"role": "user", "content": "the"}]


def with_tokens(file: TinyGGUF, tokens: dict[str, int]) -> dict[str, int]:
    """Add tokens of these types, and say which ids they have."""
    first = len(file.metadata["tokenizer.ggml.tokens"])
    file.metadata["tokenizer.ggml.tokens"] = [*file.metadata["tokenizer.ggml.tokens"], *tokens]
    file.metadata["tokenizer.ggml.token_type"] = [*file.metadata["tokenizer.ggml.token_type"], *tokens.values()]
    return {token: first + index for index, token in enumerate(tokens)}


def ends(file: TinyGGUF, tmp_path: Path) -> list[int]:
    return end_token_ids(read_header(file.write(tmp_path / "x.gguf")))


def built(file: TinyGGUF, tmp_path: Path) -> Tokenizer:
    return build_tokenizer(read_header(file.write(tmp_path / "x.gguf")))


def test_an_end_typed_as_an_ordinary_token_is_a_control_token(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata["tokenizer.ggml.eos_token_id"] = 0
    gguf.metadata["tokenizer.ggml.token_type"] = [3, 3, 1, *[1] * (len(TOKENS) - 3)]
    assert ends(gguf, tmp_path) == [0, 2]
    tokenizer = built(gguf, tmp_path)
    assert tokenizer.encode("the<|im_end|>").ids == [TOKENS.index("the"), 2]
    assert tokenizer.decode([TOKENS.index("the"), 2]) == "the"


@pytest.mark.parametrize(
    "text",
    [
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|eom_id|>",
        "<|return|>",
        "<|flush|>",
        "<turn|>",
        "<|tool_response>",
        "[e~[",
    ],
)
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_what_llama_cpp_ends_with_ends_an_answer(tmp_path: Path, gguf: TinyGGUF, text: str, kind: int) -> None:
    index = with_tokens(gguf, {text: kind})[text]
    assert ends(gguf, tmp_path) == [2, 0, index]


@pytest.mark.parametrize(
    "text",
    ["<end_of_utterance>", "<｜end▁of▁sentence｜>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<reponame>"],
)
def test_so_do_the_ends_of_files_and_of_sentences(tmp_path: Path, gguf: TinyGGUF, text: str) -> None:
    index = with_tokens(gguf, {text: 3})[text]
    assert ends(gguf, tmp_path) == [2, 0, index]


def test_ends_named_by_the_file_count_too(tmp_path: Path, gguf: TinyGGUF) -> None:
    ids = with_tokens(gguf, {"[my end]": 3, "[my pad]": 3, "<|fim_pad|>": 3, "[stranger]": 3})
    gguf.metadata |= {
        "tokenizer.ggml.eot_token_id": ids["[my end]"],
        "tokenizer.ggml.fim_pad_token_id": ids["[my pad]"],
    }
    assert ends(gguf, tmp_path) == [2, 0, ids["[my end]"], ids["[my pad]"]]
    gguf.metadata["tokenizer.ggml.eot_token_id"] = 1_000_000
    assert ends(gguf, tmp_path) == [2, 0, ids["[my pad]"]]


def test_a_part_of_an_answer_ends_without_the_answer_ending(tmp_path: Path, gguf: TinyGGUF) -> None:
    ids = with_tokens(gguf, {"<|return|>": 3, "<|call|>": 3, "<|end|>": 3})
    assert ends(gguf, tmp_path) == [2, 0, ids["<|return|>"], ids["<|call|>"]]


def test_a_mark_of_html_stays_text_but_ends_as_llama_cpp_has_it(tmp_path: Path, gguf: TinyGGUF) -> None:
    index = with_tokens(gguf, {"</s>": 1})["</s>"]
    assert ends(gguf, tmp_path) == [2, 0, index]
    assert index not in built(gguf, tmp_path).encode("<s>x</s>").ids  # Qwen's own tokenizer never writes it
    with_tokens(gguf, {"<|tool_response>": 4})
    assert index not in ends(gguf, tmp_path)


TEMPLATES = {
    "none": "{% for m in messages %}[{{ m['content'] }}]{% endfor %}",
    "a variable": "{{ bos_token }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}",
    "text": "{%- for m in messages -%}{{ '<|endoftext|>' if loop.first }}[{{ m['content'] }}]{%- endfor -%}",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_one_bos_whatever_the_template_writes(tmp_path: Path, gguf: TinyGGUF, template: str) -> None:
    gguf.metadata |= {
        "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.chat_template": TEMPLATES[template],
    }  # fmt: skip
    pair = load_pair(str(gguf.write(tmp_path / "x.gguf")))
    opened, closed = (TOKENS.index(mark) for mark in "[]")
    assert pair.encode_chat(QUESTION) == [0, opened, TOKENS.index("the"), closed]
    assert pair.encode("the") == [0, TOKENS.index("the")]


def test_no_bos_where_the_file_wants_none(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata |= {"tokenizer.ggml.bos_token_id": 0, "tokenizer.chat_template": TEMPLATES["none"]}
    pair = load_pair(str(gguf.write(tmp_path / "x.gguf")))
    assert pair.encode_chat(QUESTION)[0] == TOKENS.index("[")


def vocabulary(file: TinyGGUF, tmp_path: Path, name: str) -> Vocabulary:
    """What is compared of an imported file."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=built(file, tmp_path), eos_token="<|im_end|>")
    return vocabulary_of(tokenizer, name, len(file.metadata["tokenizer.ggml.tokens"]))


@pytest.mark.parametrize("filler", [5, 4])  # what converters call rows without a token, now and formerly
def test_qwens_vocabulary_is_one_however_many_rows_fill_it_up(tmp_path: Path, gguf: TinyGGUF, filler: int) -> None:
    letters = byte_alphabet()
    named = 151_665
    words = [f"{letters[100 + index % 50]}{index}" for index in range(named - len(TOKENS) - 1)]
    big, small = (
        with_rows(gguf, [*TOKENS, *words, "<|fim_prefix|>"], rows, filler, tmp_path) for rows in (152_064, 151_936)
    )
    assert (len(big.ids), len(small.ids)) == (named, named)
    assert (big.rows, small.rows) == (152_064, 151_936)
    for found in (fit(big, small), fit(small, big)):
        assert (found.kind, found.shared) == ("same", 1.0)
    folder = Vocabulary("folder", dict(big.ids), 151_936, "byte-level", big.special_ids - {named - 1}, None, 2)
    assert fit(big, folder) == Fit("same", "folder and big have the same vocabulary.", 1.0)


def with_rows(file: TinyGGUF, tokens: list[str], rows: int, filler: int, tmp_path: Path) -> Vocabulary:
    kinds = [3] * 3 + [1] * (len(tokens) - 4) + [3]
    fillers = [f"[PAD{index}]" for index in range(len(tokens), rows)]
    file.metadata["tokenizer.ggml.tokens"] = tokens + fillers
    file.metadata["tokenizer.ggml.token_type"] = kinds + [filler] * len(fillers)
    return vocabulary(file, tmp_path, "big" if rows == 152_064 else "small")


def test_rows_that_fill_up_are_never_written(tmp_path: Path, gguf: TinyGGUF) -> None:
    index = with_tokens(gguf, {"[PAD262]": 4})["[PAD262]"]
    tokenizer = built(gguf, tmp_path)
    assert index == 262
    assert index not in tokenizer.encode("a[PAD262]b").ids
    assert "[PAD262]" not in tokenizer.get_vocab()


def test_rows_in_the_middle_stay_where_they_are(tmp_path: Path, gguf: TinyGGUF) -> None:
    ids: dict[str, Any] = with_tokens(gguf, {"[PAD262]": 5, "<dummy00001>": 4, "<|last|>": 3})
    tokenizer = built(gguf, tmp_path)
    assert tokenizer.encode("<|last|>").ids == [ids["<|last|>"]]
    assert vocabulary(gguf, tmp_path, "big").ids.keys() >= {"<|last|>", "the"}
    assert not vocabulary(gguf, tmp_path, "big").ids.keys() & {"[PAD262]", "<dummy00001>"}
