"""How many rows a pass may have is measured, not assumed; and kept, by what it depends on."""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec.decoding.cache.rows import known, products
from mlx_spec.decoding.cache.rows.known import known_widths, measure_widths, row_widths, stored_widths
from mlx_spec.decoding.cache.rows.products import part_widths
from mlx_spec.decoding.cache.rows.whole_passes import WholePasses, steps_to
from mlx_spec.decoding.cache.rows.widths import ANY, PartWidth, RowWidths, widths_of
from mlx_spec.models.memory import rows_are_independent
from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.splitting.split import Split
from tests.tiny import tiny_llama
from tests.zoo import zoo_model

WIDE = 128


def test_in_float32_rows_depend_on_openblas_and_on_nothing_else() -> None:
    """Wide enough shapes that OpenBLAS takes them apart otherwise for more rows."""
    found = measure_widths(tiny_llama(0, hidden=WIDE), "tiny")
    assert found.tried == known.MOST[mx.cpu]
    assert found.width is not None
    if rows_are_independent():
        assert (found.width, found.trees) == (found.tried, True)
    else:
        assert found.width < 5, "DESIGN.md has it"
        assert found.width == min(part.width for part in found.parts)
        assert not found.allows_strict
        assert not found.trees


def test_half_types_are_mlx_own_loops_a_row_each() -> None:
    model = tiny_llama(0)
    model.set_dtype(mx.bfloat16)
    found = measure_widths(model, "tiny")
    assert {part.width for part in found.parts} == {found.tried} == {found.width}
    assert found.allows_strict


def test_every_shape_is_tried_once_and_attention_at_a_short_and_a_long_text() -> None:
    parts = [part.part for part in part_widths(tiny_llama(0), 2)]
    assert len(parts) == len(set(parts))
    assert [part for part in parts if part.startswith("attention")] == [
        "attention of 4 heads over 2, each 8, 60 tokens",
        "attention of 4 heads over 2, each 8, 1,500 tokens",
    ]
    assert "product 32 to 259, float32" in parts  # the head
    assert len(parts) == 7


def test_the_width_is_where_the_first_row_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that adds its number of rows from the fourth on."""
    monkeypatch.setattr(products, "_heads", lambda model: None)
    widest = products._widest(lambda at, count: mx.arange(at, at + count) + (count if count > 3 else 0), 8)
    assert widest == 3


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, 1), (2, 2), (5, 4), (8, 8)], ids=["no second row", "two", "five", "all"]
)
def test_whole_passes_have_the_last_say(limit: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies between products and attention may see other rows too: here a model that adds how many there are."""
    model = tiny_llama(0)
    model.set_dtype(mx.bfloat16)
    head = model.lm_head
    monkeypatch.setattr(model, "lm_head", lambda x: head(x) + (x.shape[1] if x.shape[1] > limit else 0), raising=False)
    assert WholePasses(model, "tiny", None).widest(list(steps_to(8, every=False))) == expected


def test_steps_reach_the_most() -> None:
    assert list(steps_to(8, every=False)) == [2, 4, 8]
    assert list(steps_to(11, every=False)) == [2, 4, 8, 11]
    assert list(steps_to(5, every=True)) == [2, 3, 4, 5]
    assert list(steps_to(1, every=True)) == []


def test_what_was_measured_is_kept(lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = RowWidths(6, parts=(PartWidth("a product", 6),), tried=16)
    monkeypatch.setattr(known, "rows_are_independent", lambda: False)
    monkeypatch.setattr(known, "measure_widths", lambda *_: widths)
    first, again, other = tiny_llama(0), tiny_llama(1), tiny_llama(0, layers=3)
    assert known_widths(first, "tiny") is None
    assert row_widths(first, "tiny") is widths
    assert known_widths(again, "tiny") == widths, "another process finds it"
    assert known_widths(again, "tiny", kv_bits=8) is None
    assert known_widths(other, "tiny") is None
    assert stored_widths() == [("tiny", widths)]
    monkeypatch.setattr(known, "blas_threads", lambda: 64)
    assert known_widths(tiny_llama(0), "tiny") is None, "how OpenBLAS divides its work is among what it depends on"
    assert stored_widths() == []
    next((lookahead_home / "rows").glob("*.json")).write_text('{"width": 0}', encoding="utf-8")


def test_what_a_group_measured_is_its_machines_own(lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Mac beside the same leader multiplies by other kernels."""
    widths = iter([RowWidths(6, tried=16), RowWidths(2, tried=16)])
    monkeypatch.setattr(known, "rows_are_independent", lambda: False)
    monkeypatch.setattr(known, "measure_widths", lambda *given: next(widths))

    def measured(*machines: str) -> int | None:
        model = tiny_llama(0, layers=4)  # as a process of its own would load it
        divide(model, Split("pipeline", 2), Links(None, 0, 2), "tiny")
        share = share_of(model)
        assert share is not None
        share.machines = machines
        return row_widths(model, "tiny").width

    assert [measured("M4", "M1"), measured("M4", "M5"), measured("M4", "M1")] == [6, 2, 6]


def test_where_each_row_has_its_loop_what_holds_as_far_as_is_tried_holds_at_any_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known, "rows_are_independent", lambda: True)
    monkeypatch.setattr(known, "measure_widths", lambda *_: RowWidths(8, trees=False, tried=8))
    model, half = tiny_llama(0), tiny_llama(0)
    half.set_dtype(mx.bfloat16)
    assert known_widths(model, "tiny") is None
    assert row_widths(model, "tiny") == replace(ANY, trees=False)
    assert known_widths(tiny_llama(1), "tiny") == replace(ANY, trees=False), "another process finds it"
    assert row_widths(half, "tiny").width == 8, "in half precision passes are not all made in one way"


@pytest.mark.parametrize("independent", [True, False])
def test_a_model_that_takes_another_way_for_one_row_has_passes_of_one(
    independent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeek's attention absorbs its products where there is one row: no product and no BLAS tells of that."""
    monkeypatch.setattr(known, "rows_are_independent", lambda: independent)
    assert row_widths(zoo_model("deepseek_v3"), "latent").width == 1


def test_a_sliding_window_allows_one_row_whatever_short_texts_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is full, one row is written over the oldest key, and several are put behind the newest."""
    model = zoo_model("mistral")
    model.set_dtype(mx.bfloat16)  # which hides most of what other orders of a sum change
    found = measure_widths(model, "window")
    assert (found.width, found.trees) == (1, False)
    assert found.limit == f"Limited to 1 row by {known.WINDOWS}."


def test_a_layer_that_is_several_is_measured_by_all_that_it_gives() -> None:
    model = zoo_model("afm7")
    model.set_dtype(mx.bfloat16)
    parts = {part.part: part.width for part in part_widths(model, 4)}
    assert set(parts.values()) == {4}, parts


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"width": 0},
        {"width": 9, "tried": 8, "trees": True, "parts": [], "price": 1},
        {"width": "4", "tried": 8},
        {"width": 4, "tried": 8, "trees": True, "parts": [], "price": 0},
    ],
)
def test_a_file_that_makes_no_sense_counts_as_none(kept: dict[str, object]) -> None:
    assert widths_of(kept) is None


SLIM, WIDE_PART, OTHER = PartWidth("a product", 3), PartWidth("another", 8), PartWidth("attention", 3)


@pytest.mark.parametrize(
    ("widths", "sentence"),
    [
        (ANY, "Nothing limits it: rows are computed one by one."),
        (RowWidths(8, parts=(WIDE_PART,), tried=8), "Nothing limits it up to 8 rows, as many as were tried."),
        (RowWidths(3, parts=(SLIM, WIDE_PART), tried=8), "Limited to 3 rows by a product."),
        (RowWidths(3, parts=(SLIM, OTHER), tried=8), "by a product, and 1 other part."),
        (RowWidths(1, parts=(SLIM, WIDE_PART), tried=8), "limits it to 1 row, which allow 3 rows each, but what"),
        (
            RowWidths(8, parts=(WIDE_PART,), tried=8, by_row=True),
            "Attention goes row by row, through a kernel of ours.",
        ),
    ],
)
def test_what_limits_a_pass_is_said(widths: RowWidths, sentence: str) -> None:
    assert sentence in widths.limit


def test_what_is_kept_comes_back() -> None:
    widths = RowWidths(6, trees=False, parts=(PartWidth("a product", 6),), tried=16, by_row=True, price=1.25)
    assert widths_of(widths.to_dict()) == widths
    assert (ANY.allows(10_000), widths.allows(6), widths.allows(7)) == (True, True, False)


def test_strict_is_everybodys_by_width_alone_as_the_clock_must_not_decide_words() -> None:
    assert RowWidths(4, tried=8, price=3.0).allows_strict
    assert not RowWidths(3, tried=8, price=0.9).allows_strict
