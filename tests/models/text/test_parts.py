"""The parts of an answer are the same however its text is cut up, and no marker ever leaks."""

import json
from itertools import count

import pytest
from mlx_lm.tool_parsers.mistral import parse_tool_call

from mlx_spec.models.text.parts import (
    AnswerParts,
    CallFormat,
    Content,
    Part,
    Reasoning,
    ToolArguments,
    ToolCallBegun,
)

JSON = CallFormat("<tool_call>", "</tool_call>", lambda text, tools: json.loads(text), "json_tools")
ENDLESS = CallFormat("[TOOL_CALLS]", "", lambda text, tools: json.loads(text))
TOOLS = ({"type": "function", "function": {"name": "look"}},)


def parts_of(
    text: str, calls: CallFormat | None = JSON, *, piece: int = 10_000, most_calls: int | None = None
) -> list[Part]:
    ids = count()
    answer = AnswerParts(calls, TOOLS, most_calls=most_calls, new_id=lambda: f"id{next(ids)}")
    told = [part for at in range(0, len(text), piece) for part in answer.feed(text[at : at + piece])]
    return joined([*told, *answer.feed("", ended=True)])


def joined(parts: list[Part]) -> list[Part]:
    """Neighbours of one kind as one."""
    whole: list[Part] = []
    for part in parts:
        match whole[-1:], part:
            case [Content(before)], Content(text):
                whole[-1] = Content(before + text)
            case [Reasoning(before)], Reasoning(text):
                whole[-1] = Reasoning(before + text)
            case [ToolArguments(index, before)], ToolArguments(_, text):
                whole[-1] = ToolArguments(index, before + text)
            case _:
                whole.append(part)
    return whole


ANSWER = (
    "<think>\nIs a < b?\n</think>\n\nI look, <tool> in hand.\n"
    '<tool_call>\n{"name": "look", "arguments": {"at": "a}</tool_call>\\"", "n": [1, {}]}}\n</tool_call>\n'
    '<tool_call>{"arguments": {}, "name": "back"}</tool_call>\n'
)
PARTS = [
    Reasoning("Is a < b?"),
    Content("I look, <tool> in hand."),
    ToolCallBegun(0, "id0", "look"),
    ToolArguments(0, '{"at": "a}</tool_call>\\"", "n": [1, {}]}'),
    ToolCallBegun(1, "id1", "back"),
    ToolArguments(1, "{}"),
]


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8, 13, 10_000])
def test_an_answer_has_the_same_parts_in_any_pieces(piece: int) -> None:
    assert parts_of(ANSWER, piece=piece) == PARTS


def test_the_arguments_of_a_call_are_told_while_they_are_written() -> None:
    answer = AnswerParts(JSON, TOOLS, new_id=lambda: "id")
    assert answer.feed('<tool_call>{"name": "look", "argu') == []
    assert answer.feed('ments": {"at": "h') == [ToolCallBegun(0, "id", "look"), ToolArguments(0, '{"at": "h')]
    assert answer.feed('ere"}}') == [ToolArguments(0, 'ere"}')]


def test_text_that_begins_a_marker_and_goes_on_differently_is_text() -> None:
    for piece in (1, 4, 10_000):
        assert parts_of("a <tool_cal b <", piece=piece) == [Content("a <tool_cal b <")]
        assert parts_of("<thin ice", piece=piece) == [Content("<thin ice")]
        assert parts_of("<think>a </thin b", piece=piece) == [Reasoning("a </thin b")]


def test_without_tools_nothing_is_a_call_and_no_space_is_lost() -> None:
    text = ' \n<tool_call>{"name": "look", "arguments": {}}</tool_call> \n'
    answer = AnswerParts(JSON, ())
    assert joined([*answer.feed(text), *answer.feed("", ended=True)]) == [Content(text)]


def test_what_cannot_be_read_as_a_call_stays_text() -> None:
    for piece in (1, 10_000):
        text = "<tool_call>look up</tool_call> and on"
        assert parts_of(text, piece=piece) == [Content(text)]


def test_a_call_that_ends_with_the_answer_is_read_and_one_that_is_cut_is_not() -> None:
    whole = '[TOOL_CALLS][{"name": "look", "arguments": {"at": 1}}, {"name": "back"}]'
    assert parts_of(whole, ENDLESS, piece=3) == [
        ToolCallBegun(0, "id0", "look"),
        ToolArguments(0, '{"at": 1}'),
        ToolCallBegun(1, "id1", "back"),
        ToolArguments(1, "{}"),
    ]
    assert parts_of(whole[:-1], ENDLESS) == [Content(whole[:-1])]
    cut = '<tool_call>{"name": "look", "arguments": {"at": "so'
    assert parts_of(cut) == [ToolCallBegun(0, "id0", "look"), ToolArguments(0, '{"at": "so')]


MISTRAL = CallFormat("[TOOL_CALLS]", "", parse_tool_call, "mistral")
AT = '{"at": "a}]\\"[ARGS]", "n": [1, {}]}'
TWO = [ToolCallBegun(0, "id0", "look"), ToolArguments(0, AT), ToolCallBegun(1, "id1", "back"), ToolArguments(1, "{}")]
ENDLESS_CALLS = {
    "headed": f"[TOOL_CALLS]look[ARGS]{AT}[TOOL_CALLS] back [ARGS] {{}}",
    "listed": f'[TOOL_CALLS] [{{"name": "look", "arguments": {AT}}}, {{"name": "back", "arguments": {{}}, "id": "x"}}]',
    "in another order": f'[TOOL_CALLS][{{"arguments": {AT}, "name": "look"}}, {{"name": "back", "arguments": {{}}}}]',
    "the second so": f'[TOOL_CALLS][{{"name": "look", "arguments": {AT}}}, {{"arguments": {{}}, "name": "back"}}]',
}


@pytest.mark.parametrize("piece", [1, 3, 10_000])
@pytest.mark.parametrize("name", ENDLESS_CALLS)
def test_calls_without_an_end_mark_are_over_where_their_json_is(name: str, piece: int) -> None:
    text = f"So: {ENDLESS_CALLS[name]}\nDone [x]."
    assert parts_of(text, MISTRAL, piece=piece) == [Content("So:"), *TWO, Content("Done [x].")]


def test_they_are_told_while_they_are_written_and_who_wants_one_has_the_answer_end_behind_it() -> None:
    for name in ("headed", "listed"):
        answer = AnswerParts(MISTRAL, TOOLS, new_id=lambda: "id")
        call = ENDLESS_CALLS[name]
        told = call.index('"at": "a}')
        parts = answer.feed(call[:told])
        assert parts[0] == ToolCallBegun(0, "id", "look"), "before its arguments are whole"
        ends = [at for at in range(told, len(call)) if answer.has_called(call[at])]
        assert told < ends[0] <= call.index("back") - 1, name
        assert answer.num_calls == 2
    assert AnswerParts(MISTRAL, TOOLS).has_called('[TOOL_CALLS]look[ARGS]{"at": 1}'), "nothing need follow"


def test_a_call_may_have_an_id_of_its_own_and_what_is_cut_tells_what_was_written() -> None:
    assert parts_of("[TOOL_CALLS]look[CALL_ID]abc123def[ARGS]{}", MISTRAL, piece=2) == [
        ToolCallBegun(0, "abc123def", "look"),
        ToolArguments(0, "{}"),
    ]
    cut = '[TOOL_CALLS][{"name": "look", "arguments": {"at": 1}}, {"na'
    begun = [ToolCallBegun(0, "id0", "look"), ToolArguments(0, '{"at": 1}')]
    assert parts_of(cut, MISTRAL, piece=3) == [*begun, Content(' {"na')]
    assert parts_of(cut[:-6], MISTRAL) == begun
    assert parts_of("[TOOL_CALLS] is what I would write", MISTRAL) == [Content("[TOOL_CALLS] is what I would write")]


@pytest.mark.parametrize("parsed", [[], {"name": "", "arguments": {}}, {"name": "a", "arguments": [1]}, {"x": 1}, 7])
def test_a_parser_that_finds_no_call_leaves_the_text(parsed: object) -> None:
    calls = CallFormat("<c>", "</c>", lambda text, tools: parsed)
    assert parts_of("<c>x</c>", calls) == [Content("<c>x</c>")]


def test_no_more_calls_are_told_than_are_allowed() -> None:
    assert parts_of(ANSWER, piece=4, most_calls=1) == PARTS[:4]


def test_an_answer_may_go_on_inside_of_reasoning() -> None:
    answer = AnswerParts(is_thinking=True, is_begun=True)
    assert joined([*answer.feed(" so</thi"), *answer.feed("nk>\n\n4"), *answer.feed("", ended=True)]) == [
        Reasoning(" so"),
        Content("4"),
    ]
