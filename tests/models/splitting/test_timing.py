"""The wire: which collectives a pass makes, and what they are reckoned to take. Ranks measure it in `test_ranks`."""

import mlx.core as mx
import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import RoundFinished
from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.timing import Cost, LinkCosts, Wire, keep_wire, kept_wire
from mlx_spec.models.splitting.wire import wire_of
from tests.tiny import tiny_llama, tiny_pair

# A gather takes 5 ms and nothing for its bytes, a message 1 ms and a millisecond for each thousand.
COSTS = LinkCosts(gather=Cost(5.0, 0.0), sum=Cost(2.0, 0.0), message=Cost(1.0, 1e-3))


def share(way: str, exactness: str = "strict", ranks: int = 2, rank: int = 0) -> object:
    model = tiny_llama(1, layers=4)
    divide(model, Split(way, ranks, exactness), Links(None, rank, ranks), "tiny")
    return model


def test_a_pass_takes_what_its_collectives_take_one_after_the_other() -> None:
    model = share("tensor")
    made = wire_of(model).made
    assert len(made) > 8
    assert {one.kind for one in made} == {"gather"}
    wire = keep_wire(model, COSTS)
    assert (wire.collectives, wire.ms_per_row) == (len(made), 0.0)
    assert wire.ms(1) == wire.ms(9) == pytest.approx(5.0 * len(made))
    assert kept_wire(model) is wire


def test_sums_are_fewer_and_each_kind_has_its_own_price() -> None:
    wire, strict = keep_wire(share("tensor", "fast"), COSTS), keep_wire(share("tensor"), COSTS)
    assert wire.collectives < strict.collectives
    assert wire.ms(1) < strict.ms(1)


def test_in_a_pipeline_each_hop_is_a_message_whose_bytes_grow_by_rows() -> None:
    two, four = (keep_wire(share("pipeline", ranks=ranks), COSTS) for ranks in (2, 4))
    assert (two.collectives, four.collectives) == (1, 3)
    row_bytes = 32 * mx.float32.size
    assert two.ms(1) == pytest.approx(1.0 + 1e-3 * row_bytes)
    assert two.ms(9) == pytest.approx(1.0 + 9e-3 * row_bytes)
    assert four.ms(5) == pytest.approx(3 * two.ms(5))


def test_a_line_through_two_sizes_is_not_bent_by_noise() -> None:
    cost = Cost.through((2.0, 1.0))
    assert (cost.fixed_ms, cost.ms_per_byte) == (2.0, 0.0)
    cost = Cost.through((1.0, 5.0))
    assert cost.at(4_096) == pytest.approx(1.0)
    assert cost.at(262_144) == pytest.approx(5.0)


def rounds(decoder: SpeculativeDecoder) -> list[RoundFinished]:
    events = decoder.stream([1, 2, 3], SamplingParams(seed=1), 12)
    return [event for event in events if isinstance(event, RoundFinished)]


def test_rounds_tell_the_wire_as_a_part_of_their_pass_and_nothing_on_one_machine() -> None:
    pair = tiny_pair()
    alone = SpeculativeDecoder(pair)
    assert {one.wire_ms for one in rounds(alone)} == {0.0}
    vars(pair.target)[Wire.NAME] = Wire(2, 1e-3, 1e-4)
    decoder = SpeculativeDecoder(pair)
    told = rounds(decoder)
    # The last round may have said less than its pass had rows for.
    assert told[0].wire_ms == pytest.approx(1e-3 + 1e-4 * (len(told[0].drafted) + 1), rel=0.5)
    assert all(0 < one.wire_ms <= one.verify_ms for one in told)
    stats = decoder.stats()
    assert stats.wire_time_ms == pytest.approx(sum(one.wire_ms for one in told))
    assert stats.to_dict()["wire_time_ms"] == stats.wire_time_ms
    vars(pair.target)[Wire.NAME] = Wire(2, 1e9, 0.0)  # slower than the pass was
    assert all(one.wire_ms == one.verify_ms for one in rounds(SpeculativeDecoder(pair)))
