"""Which draft fits which target, said in one sentence, and which pairs are recommended."""

import re
import tomllib

import pytest

from mlx_spec.errors import IncompatiblePairError, ModelNotFoundError
from mlx_spec.machine.resources import resources_folder
from mlx_spec.models.hub_names import looks_like_hub_id
from mlx_spec.models.pairs import PAIRS, Fit, check_pair, find_pair, fit, recommend
from mlx_spec.models.text.vocabulary import Vocabulary, vocabulary_of
from tests.models.text.sentences import one_sentence
from tests.two_tokenizers import byte_level, llama_like

IDS = {"a": 0, "b": 1, "c": 2}


def refused(target: Vocabulary, draft: Vocabulary) -> str:
    with pytest.raises(IncompatiblePairError) as caught:
        check_pair(target, draft)
    message = one_sentence(caught.value)
    assert fit(target, draft) == Fit("no", message, fit(target, draft).shared)
    return message


def test_known_pairs_go_by_their_names() -> None:
    assert all(find_pair(name).name == name for name in PAIRS)
    assert next(iter(PAIRS)) == "starter"
    for pair in PAIRS.values():
        assert pair.note.endswith(".")
        assert ". " not in pair.note
        assert pair.kind in ("same", "bridged", "head")
        if pair.name != "starter":
            assert looks_like_hub_id(pair.target)
            assert looks_like_hub_id(pair.draft)
            assert pair.target != pair.draft


def test_the_table_says_all_it_says_once() -> None:
    entries = tomllib.loads((resources_folder() / "pairs.toml").read_text(encoding="utf-8"))["pair"]
    assert len({entry["name"] for entry in entries}) == len(entries) == len(PAIRS)
    assert len({(entry["target"], entry["draft"]) for entry in entries}) == len(entries)
    assert all("verified" in entry for entry in entries)


@pytest.mark.parametrize("name", ["qwen2.5-14b", "mistral-7b", "llama-3.2-3b"])
def test_the_pairs_to_serve_well_are_there(name: str) -> None:
    pair = find_pair(name)
    assert (pair.kind == "bridged") == (name == "mistral-7b")


def test_an_unknown_pair_lists_the_near_ones() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_pair("qwen2.5-14")
    assert "known: starter, qwen2.5-14b" in one_sentence(caught.value)


def test_a_published_head_is_told_from_a_draft_model() -> None:
    heads = [pair.draft for pair in recommend("Qwen3-8B") if pair.kind == "head"]
    assert heads == ["z-lab/Qwen3-8B-DFlash-b16", "AngelSlim/Qwen3-8B_eagle3"]
    # A head is trained for one target: no other pair may offer it.
    everywhere = [pair.draft for pair in PAIRS.values() if pair.kind == "head"]
    assert len(set(everywhere)) == len(everywhere)


@pytest.mark.parametrize(
    ("target", "first", "count"),
    [
        ("mlx-community/Qwen2.5-14B-Instruct-4bit", "mlx-community/Qwen2.5-0.5B-Instruct-4bit", 1),
        ("Qwen/Qwen2.5-14B-Instruct", "mlx-community/Qwen2.5-0.5B-Instruct-4bit", 1),
        ("mlx-community/Qwen3-32B-4bit-DWQ-053125", "mlx-community/Qwen3-0.6B-4bit", 2),
        ("/models/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "mlx-community/Llama-3.2-1B-Instruct-4bit", 3),
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M-00002-of-00003.GGUF", "mlx-community/Llama-3.2-1B-Instruct-4bit", 3),
        ("google/gemma-3-12b-it", "mlx-community/gemma-3-270m-it-4bit", 2),
        ("gemma-3-27b", "mlx-community/gemma-3-1b-it-qat-4bit", 2),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mlx-community/TinyLlama-1.1B-Chat-v1.0-4bit", 1),
        ("starter", "starter draft", 1),
        ("SmolLM2-135M-Instruct", "starter draft", 1),
    ],
)
def test_a_target_is_known_whoever_converted_it(target: str, first: str, count: int) -> None:
    drafts = [pair.draft for pair in recommend(target)]
    assert drafts[0] == first
    assert len(drafts) == count


@pytest.mark.parametrize("target", ["org/unheard-of", "Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-1", ""])
def test_nothing_is_recommended_for_a_target_that_is_not_known(target: str) -> None:
    assert recommend(target) == []


def test_padding_does_not_matter() -> None:
    assert check_pair(Vocabulary("big", IDS, 3), Vocabulary("small", dict(IDS), 64)).kind == "same"
    found = check_pair(Vocabulary("big", IDS, 64), Vocabulary("small", dict(IDS), 3))
    assert (found.kind, found.shared) == ("same", 1.0)
    assert found.reason == "small and big have the same vocabulary."


def test_two_spellings_of_the_same_bytes_are_one_vocabulary() -> None:
    """A folder's "▁▁" is "  " in a GGUF file, and what is special to one may be text to the other."""
    folder = Vocabulary("folder", {"▁▁": 0, "<0x0A>": 1, "<tool>": 2}, 3, "sentencepiece", frozenset({2}))
    file = Vocabulary("file", {"  ": 0, "<0x0A>": 1, "<tool>": 2}, 3, "sentencepiece")
    for found in (fit(folder, file), fit(file, folder)):
        assert (found.kind, found.shared) == ("same", 1.0)
    other = fit(folder, Vocabulary("other", {"  ": 0, "<0x0B>": 1, "<tool>": 2}, 3, "sentencepiece"))
    assert "id 1 is '<0x0B>' in the draft but '<0x0A>' in the target" in other.reason
    assert "id 0" not in other.reason


def test_tokens_beyond_a_models_rows_do_not_matter() -> None:
    """Gemma 3's folders name a token for pictures, for which the text models have no row; their GGUF files do not."""
    folder = Vocabulary("folder", IDS | {"<image>": 3}, 3)
    for found in (fit(folder, Vocabulary("file", IDS, 3)), fit(Vocabulary("file", IDS, 3), folder)):
        assert (found.kind, found.shared) == ("same", 1.0)
    assert fit(Vocabulary("big", IDS | {"<image>": 3}, 4), folder).kind == "bridged"


def test_another_order_is_bridged() -> None:
    found = check_pair(Vocabulary("big", IDS, 3), Vocabulary("small", {"b": 0, "a": 1, "c": 2}, 3))
    assert (found.kind, found.shared) == ("bridged", 1.0)
    assert "100 % of tokens shared, bridged" in found.reason
    assert "id 0 is 'b' in the draft but 'a' in the target" in found.reason


def test_two_kinds_of_tokenizer_are_bridged() -> None:
    target, draft = vocabulary_of(byte_level(), "big", 330), vocabulary_of(llama_like(), "small", 400)
    found = check_pair(target, draft)
    assert found.kind == "bridged"
    assert found.shared == pytest.approx(0.86, abs=0.01)
    assert "small has another tokenizer than big: 86 % of tokens shared, bridged" in found.reason
    assert "its answers end with '</s>', the target's with '<|im_end|>'" in found.reason


def test_too_little_shared_is_refused_with_examples() -> None:
    target = Vocabulary("big", {f"t{i}": i for i in range(40)}, 40)
    draft = Vocabulary("small", {f"d{i}": i for i in range(38)} | {"t0": 38, "t1": 39}, 40)
    message = refused(target, draft)
    assert "small cannot draft for big" in message
    assert "only 5 % of the target's tokens are shared, and at least 10 % are needed" in message
    assert "id 0 is 'd0' in the draft but 't0' in the target" in message
    assert "(38 more differ)" in message
    assert "5 %" in refused(target, Vocabulary("small", {"t0": 38, "t1": 39}, 40))
    assert "0 %" in refused(target, Vocabulary("small", {}, 40))


def test_sizes_are_named_where_no_token_differs() -> None:
    found = fit(Vocabulary("big", IDS, 3), Vocabulary("small", {"a": 0, "b": 1}, 3))
    assert found.kind == "bridged"
    assert "its vocabulary has 2 tokens, the target's has 3" in found.reason


def test_an_embedding_too_small_for_its_tokens() -> None:
    found = fit(Vocabulary("big", IDS, 3), Vocabulary("small", dict(IDS), 2))
    assert (found.kind, found.shared) == ("bridged", pytest.approx(2 / 3))
    assert "its embedding has 2 rows for 3 tokens" in found.reason


@pytest.mark.parametrize(("draft_bytes", "fits"), [(999, True), (1000, False), (2000, False), (None, True)])
def test_a_draft_as_big_as_its_target_is_none(draft_bytes: int | None, fits: bool) -> None:
    target = Vocabulary("big", IDS, 3, weights_bytes=1000)
    draft = Vocabulary("small", dict(IDS), 3, weights_bytes=draft_bytes)
    if fits:
        assert check_pair(target, draft).kind == "same"
    else:
        assert "as big as its target" in refused(target, draft)


def test_a_published_speed_up_says_where_it_was_published() -> None:
    published = [pair.published for pair in PAIRS.values() if pair.published]
    assert published
    for words in published:
        assert re.search(r"[0-9.]+ times plain decoding.*: https://\S+$", words), words
