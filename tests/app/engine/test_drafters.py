"""Each drafter that an engine may tell of has plain words."""

from dataclasses import replace
from typing import get_args

from app.engine.drafters import choice_words, line_of, name_of
from app.engine.request import Drafter
from mlx_spec.config import DrafterName
from tests.app.speculation.rounds import make_round


def test_every_drafter_of_the_engine_has_a_name_and_a_line() -> None:
    assert set(get_args(Drafter)) == set(get_args(DrafterName))
    for drafter in get_args(Drafter):
        assert name_of(drafter) != drafter
        assert line_of(drafter)
    assert (name_of("of tomorrow"), line_of("of tomorrow")) == ("of tomorrow", "")


def test_what_is_forced_is_told_in_words() -> None:

    told = replace(make_round(0, 4, 4), drafter="grammar", reason="1.40x plain expected")
    assert choice_words(told) == "Required form · 1.40× plain expected"
