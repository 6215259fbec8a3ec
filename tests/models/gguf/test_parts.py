"""Models in several GGUF files are read as one, whichever part is named; what else GGUF files hold is said."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gguf import GGUFEndian, GGUFWriter

from mlx_spec.errors import CorruptModelError, LookaheadError, ModelNotFoundError, UnsupportedModelError
from mlx_spec.models.gguf import importing
from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.importing import import_gguf
from mlx_spec.models.loading import load_pair
from mlx_spec.models.named import folder_of
from tests.models.gguf.tiny import TinyGGUF, numpy_logits, tiny_gguf
from tests.models.text.sentences import one_sentence

IDS = [1, 40, 200, 258, 259, 3, 77, 2, 100, 41]


def in_parts(file: TinyGGUF, folder: Path, count: int, *, name: str = "tiny", ending: str = ".gguf") -> list[Path]:
    """The parts as llama.cpp's gguf-split writes them with --no-tensor-first-split: fields in the first alone."""
    names = list(file.tensors)
    paths = []
    for number in range(count):
        own = [tensor for at, tensor in enumerate(names) if number and at % (count - 1) == number - 1]
        fields = {"split.no": number, "split.count": count, "split.tensors.count": len(names)}
        part = TinyGGUF(
            (file.metadata if number == 0 else {}) | fields, {tensor: file.tensors[tensor] for tensor in own}
        )
        paths.append(part.write(folder / f"{name}-{number + 1:05}-of-{count:05}{ending}"))
    return paths


def refusal(path: Path, tmp_path: Path, kind: type[LookaheadError]) -> str:
    with pytest.raises(kind) as caught:
        import_gguf(path, tmp_path / "models" / "x", source="test")
    assert not (tmp_path / "models").exists()
    return one_sentence(caught.value)


@pytest.mark.parametrize("matrix_type", ["Q4_1", "Q5_0"])  # read by MLX itself, and by us
def test_a_model_in_three_files_is_one_model_whichever_is_named(tmp_path: Path, matrix_type: str) -> None:
    source = tiny_gguf(matrix_type)
    paths = in_parts(source, tmp_path, 3)
    pair = load_pair(str(paths[1]))
    assert pair.target_name == "tiny"
    np.testing.assert_allclose(np.array(pair.target(mx.array([IDS]))[0]), numpy_logits(source, IDS), atol=2e-4)
    assert len({folder_of(str(path)).path for path in paths}) == 1


def test_a_missing_part_is_named(tmp_path: Path, gguf: TinyGGUF) -> None:
    paths = in_parts(gguf, tmp_path, 3)
    paths[2].unlink()
    message = refusal(paths[0], tmp_path, ModelNotFoundError)
    assert "tiny-00003-of-00003.gguf, one of the 3 files" in message
    with pytest.raises(ModelNotFoundError, match="tiny-00003-of-00003"):
        load_pair(str(paths[0]))


def test_a_name_that_no_disk_takes_is_a_sentence(tmp_path: Path) -> None:
    assert "cannot be read (file name too long)" in refusal(
        tmp_path / f"{'x' * 300}.gguf", tmp_path, ModelNotFoundError
    )


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, gguf: TinyGGUF) -> None:
    paths = in_parts(gguf, tmp_path, 3)
    swapped = paths[1].read_bytes()
    paths[1].write_bytes(paths[2].read_bytes())
    assert "is not part 2 of its model" in refusal(paths[0], tmp_path, CorruptModelError)
    paths[1].write_bytes(swapped)
    alone = paths[1].rename(tmp_path / "renamed.gguf")
    assert "is one of 3 files of a model, and one of 1 by its name" in refusal(alone, tmp_path, CorruptModelError)


def test_the_import_says_what_all_parts_are(tmp_path: Path, gguf: TinyGGUF) -> None:
    folder = import_gguf(in_parts(gguf, tmp_path, 2)[0], tmp_path / "models" / "x", source="test")
    whole = import_gguf(in_parts(gguf, tmp_path, 3)[0], tmp_path / "models" / "y", source="test")
    records = [json.loads((place / "import.json").read_text()) for place in (folder, whole)]
    assert len({record["sha256"] for record in records}) == 2


@pytest.mark.parametrize("ending", [".GGUF", ".Gguf"])
def test_the_ending_may_be_written_in_capitals(tmp_path: Path, gguf: TinyGGUF, ending: str) -> None:
    assert load_pair(str(gguf.write(tmp_path / f"Tiny{ending}"))).target_name == "Tiny"
    assert load_pair(str(in_parts(gguf, tmp_path, 2, name="Many", ending=ending)[1])).target_name == "Many"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"general.type": "adapter", "adapter.type": "lora"}, "is a LoRA adapter"),
        ({"general.type": "mmproj", "general.architecture": "clip"}, "reads pictures (mmproj)"),
        ({"general.architecture": "clip"}, "reads pictures (mmproj)"),
        ({"general.type": "imatrix"}, "is an importance matrix"),
        ({"general.architecture": "controlvector"}, "is a control vector"),
    ],
)
def test_what_is_no_model_is_called_what_it_is(
    tmp_path: Path, gguf: TinyGGUF, fields: dict[str, Any], said: str
) -> None:
    gguf.metadata |= fields
    assert said in refusal(gguf.write(tmp_path / "x.gguf"), tmp_path, UnsupportedModelError)


def test_a_vocabulary_alone_is_told_in_a_sentence(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.tensors.clear()
    message = refusal(gguf.write(tmp_path / "ggml-vocab-llama-bpe.gguf"), tmp_path, UnsupportedModelError)
    assert message.endswith("holds a vocabulary and no weights, so it cannot answer.")


def test_a_contradiction_is_told_in_numbers(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata["llama.attention.head_count_kv"] = 3
    message = refusal(gguf.write(tmp_path / "x.gguf"), tmp_path, CorruptModelError)
    assert "contradicts itself: 2 layers, 64 columns, 4 heads of 16 columns, 3 of keys and values" in message
    assert len(message) < 300


def test_a_latin_1_byte_in_a_text_is_no_damage(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata |= {"general.author": "Jos# Gr\u00fcn", "general.tags": ["caf#", "chat"]}
    file = tmp_path / "x.gguf"
    file.write_bytes(gguf.as_bytes().replace(b"Jos#", b"Jos\xe9").replace(b"caf#", b"caf\xe9"))
    fields = read_header(file).metadata
    assert (fields["general.author"], fields["general.tags"]) == ("José Grün", ["café", "chat"])
    assert load_pair(str(file)).target_name == "x"


def test_tokens_must_be_whole_all_the_same(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.metadata["tokenizer.ggml.tokens"] = [*gguf.metadata["tokenizer.ggml.tokens"][:-1], "caf#"]
    file = tmp_path / "x.gguf"
    file.write_bytes(gguf.as_bytes().replace(b"caf#", b"caf\xe9"))
    assert "truncated or damaged" in refusal(file, tmp_path, CorruptModelError)


@pytest.mark.parametrize("key", ["tokenizer.ggml.pre", "tokenizer.ggml.model", "general.architecture"])
def test_a_file_is_not_read_whole_before_it_is_refused(
    tmp_path: Path, gguf: TinyGGUF, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf.metadata[key] = "unheard-of"
    read: list[Any] = []
    monkeypatch.setattr(importing, "sha256_of", lambda paths: read.append(paths) or "")
    assert "'unheard-of'" in refusal(gguf.write(tmp_path / "x.gguf"), tmp_path, UnsupportedModelError)
    assert read == []


def written_by_gguf(file: TinyGGUF, path: Path, **options: Any) -> list[Path]:
    """The same model, written by llama.cpp's own package."""
    writer = GGUFWriter(path, "llama", **options)
    for key, value in file.metadata.items():
        if key == "general.architecture":
            continue
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, (weight, _) in file.tensors.items():
        writer.add_tensor(name, weight)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    return sorted(path.parent.glob(f"{path.stem}*.gguf"))


def test_parts_that_llama_cpps_own_package_wrote_are_read(tmp_path: Path) -> None:
    source = tiny_gguf("F32")
    paths = written_by_gguf(source, tmp_path / "own.gguf", split_max_tensors=6, small_first_shard=True)
    assert len(paths) > 3
    pair = load_pair(str(paths[0]))
    np.testing.assert_allclose(np.array(pair.target(mx.array([IDS]))[0]), numpy_logits(source, IDS), atol=2e-4)


def test_a_big_endian_file_of_that_package_is_called_so(tmp_path: Path) -> None:
    (path,) = written_by_gguf(tiny_gguf("F32"), tmp_path / "big.gguf", endianess=GGUFEndian.BIG)
    assert "is a big-endian GGUF file" in refusal(path, tmp_path, UnsupportedModelError)
