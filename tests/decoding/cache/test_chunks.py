"""Where prompts are read in passes: the same places for who plans and who reads."""

from itertools import pairwise

import pytest

from mlx_spec.batching.budget import chunk_end, usable_prefix
from mlx_spec.decoding.cache.chunks import chunk_tokens, last_begin, pass_end, shorter_chunks


def test_who_plans_and_who_reads_agree_on_every_pass() -> None:
    end = 2_025
    for start in range(end):
        for opening in (0, 31, 64, 150):
            expected = chunk_end(start, end, end, chunk_tokens(), shorter_chunks(), opening)
            assert pass_end(start, end, opening) == expected


def test_passes_get_shorter_and_end_where_chunks_end() -> None:
    """What was found of a prompt is whole chunks: behind them a cold run begins a pass too."""
    ends = [0]
    while ends[-1] < 8_192:
        ends.append(pass_end(ends[-1], 8_192))
    widths = [stop - start for start, stop in pairwise(ends)]
    assert widths == sorted(widths, reverse=True)
    assert set(range(0, 8_193, chunk_tokens())) <= set(ends)
    assert widths[0] == chunk_tokens()
    assert widths[-1] == min([chunk_tokens(), *(tokens for _, tokens in shorter_chunks())])


@pytest.mark.parametrize("opening", [0, 31, 64, 150])
def test_a_later_answer_begins_where_a_pass_would(opening: int) -> None:
    begins = {0}
    at = 0
    while at < 8_192:
        at = pass_end(at, 8_192, opening)
        begins.add(at)
    assert opening in begins
    for length in range(0, 8_192, 7):
        assert last_begin(length, opening) == max(begin for begin in begins if begin <= length)
        found = usable_prefix(length, 8_192, chunk_tokens(), shorter_chunks(), opening)
        assert found == last_begin(length, opening)
