"""Log-probabilities in the protocols besides OpenAI's chat: the chat's own, in each protocol's words."""

import json
from typing import Any

import pytest

from mlx_spec.events import EmittedToken, RoundFinished, TokenLogprob
from mlx_spec.models.text.parts import AnswerParts, Content, Part, Reasoning
from mlx_spec.server.answers.logprobs import HeldTokens
from tests.server.faces.shapes import THOUGHT, events_of, refusal
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Tell me a story."}]}
DRAWN: dict[str, Any] = {"seed": 5, "temperature": 0.8}
INCLUDE = ["message.output_text.logprobs"]


@pytest.fixture(scope="module")
def of_chat(tiny: Live) -> list[Any]:
    """What a chat tells."""
    asked = CHAT | DRAWN | {"max_tokens": 12, "logprobs": True, "top_logprobs": 2}
    told: list[Any] = tiny.http.post("/v1/chat/completions", json=asked).json()["choices"][0]["logprobs"]["content"]
    assert len(told) == 12
    return told


def numbers(told: list[Any]) -> list[Any]:
    """The tokens, each with its own and its best number."""
    return [(one["token"], one["logprob"], one["top_logprobs"][0]["logprob"]) for one in told]


def steady(told: list[Any]) -> Any:
    """As `numbers`, within what two passes may differ by."""
    return [(token, pytest.approx(own, abs=1e-5), pytest.approx(best, abs=1e-5)) for token, own, best in numbers(told)]


def test_a_response_has_those_of_its_message(tiny: Live, of_chat: list[Any]) -> None:
    asked = {"model": "tiny", "input": "Tell me a story.", "max_output_tokens": 12, "top_logprobs": 2} | DRAWN
    whole = tiny.http.post("/v1/responses", json=asked | {"include": INCLUDE}).json()
    told = whole["output"][0]["content"][0]["logprobs"]
    assert numbers(told) == steady(of_chat)
    assert all(isinstance(one["bytes"], list) for one in told)
    assert whole["top_logprobs"] == 2
    events = events_of(tiny, "/v1/responses", asked)
    deltas = [one for event in events if event["type"] == "response.output_text.delta" for one in event["logprobs"]]
    [done] = [event["logprobs"] for event in events if event["type"] == "response.output_text.done"]
    assert numbers(deltas) == numbers(done) == steady(of_chat)
    [part] = [event["part"]["logprobs"] for event in events if event["type"] == "response.content_part.done"]
    assert part == done == events[-1]["response"]["output"][0]["content"][0]["logprobs"]
    bare = tiny.http.post("/v1/responses", json=asked | {"include": INCLUDE, "top_logprobs": None}).json()
    assert [one["top_logprobs"] for one in bare["output"][0]["content"][0]["logprobs"]] == [[]] * 12


def test_ollama_has_those_of_all_that_is_written(tiny: Live, of_chat: list[Any]) -> None:
    asked = CHAT | {"options": DRAWN | {"num_predict": 12}, "logprobs": True, "top_logprobs": 2}
    whole = tiny.http.post("/api/chat", json=asked | {"stream": False}).json()
    assert numbers(whole["logprobs"]) == steady(of_chat)
    lines = [json.loads(line) for line in tiny.http.post("/api/chat", json=asked).text.splitlines()]
    assert numbers([one for line in lines for one in line.get("logprobs", ())]) == steady(of_chat)
    raw = {"model": "tiny", "prompt": "Once", "raw": True, "stream": False, "options": {"num_predict": 3}}
    told = tiny.http.post("/api/generate", json=raw | {"logprobs": True, "top_logprobs": 1}).json()["logprobs"]
    assert [len(one["top_logprobs"]) for one in told] == [1, 1, 1]
    asked_not = tiny.http.post("/api/generate", json=raw | {"prompt": "Twice", "logprobs": False}).json()
    assert "logprobs" not in asked_not


SAID = (*THOUGHT, "All ", "is ", "well.")


def test_a_message_has_none_of_what_was_thought_and_ollama_has_all(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = SAID
    told = scripted.http.post("/v1/responses", json={"input": "hi", "include": INCLUDE}).json()["output"]
    assert [one["token"] for one in told[1]["content"][0]["logprobs"]] == ["All ", "is ", "well."]
    assert "logprobs" not in told[0]["content"][0]
    chat = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "logprobs": True}
    lines = [json.loads(line) for line in scripted.http.post("/api/chat", json=chat).text.splitlines()]
    assert tuple(one["token"] for line in lines for one in line.get("logprobs", ())) == SAID
    assert [one["token"] for one in lines[0]["logprobs"]] == ["<think>", "Let me "], (
        "with the piece that has their text"
    )
    for one in lines[0]["logprobs"]:
        assert one["logprob"] == -0.5
        assert bytes(one["bytes"]).decode() == one["token"]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/responses", {"input": "hi", "top_logprobs": 21}, "top_logprobs is 21: it must be a whole number"),
    ("/v1/responses", {"input": "hi", "include": INCLUDE, "top_logprobs": "2"}, 'top_logprobs is "2"'),
    ("/api/chat", CHAT | {"logprobs": True, "top_logprobs": -1}, "top_logprobs is -1: it must be a whole number"),
    ("/api/chat", CHAT | {"logprobs": 2}, "logprobs is 2: it must be true or false"),
    ("/api/generate", {"model": "tiny", "prompt": "x", "top_logprobs": 2}, "must go together with logprobs"),
    ("/api/generate", {"model": "tiny", "prompt": "x", "raw": True, "logprobs": True, "top_logprobs": 99}, "is 99"),
    ("/v1/messages", CHAT | {"max_tokens": 5, "logprobs": True}, "logprobs is true: this server does not support it"),
]


@pytest.mark.parametrize(("path", "body", "part"), BAD)
def test_what_cannot_be_is_refused(tiny: Live, path: str, body: dict[str, Any], part: str) -> None:
    status, told = refusal(tiny, path, body)
    assert status == 400
    assert part in json.dumps(told, ensure_ascii=False).replace("\\", "")


def heard(text: str, words: list[str]) -> tuple[HeldTokens, AnswerParts, list[Part]]:
    """An answer of these tokens, and its parts, told in pieces of three characters."""
    tokens, parts = HeldTokens(), AnswerParts()
    emitted = tuple(
        EmittedToken(1, word, "plain", 1.0, None, 0, logprob=TokenLogprob(1, word, word.encode(), -1.0))
        for word in words
    )
    tokens.add(RoundFinished(0, None, 0, "", 0, (), emitted, 0.0, 0.0, 0.0))
    told = [part for at in range(0, len(text), 3) for part in parts.feed(text[at : at + 3])]
    return tokens, parts, [*told, *parts.feed("", ended=True)]


WORDS = ["\n<th", "ink>", "", "Hm ", "hm", "</think>", "\n\n", "Hi", " ", "there", "!\n"]


def test_each_token_belongs_to_the_part_that_has_its_text() -> None:
    tokens, answer, parts = heard("".join(WORDS), WORDS)
    taken: dict[type, list[str]] = {Content: [], Reasoning: []}
    text = ""
    for part in parts:
        assert isinstance(part, Content | Reasoning)
        assert "".join(WORDS)[part.begin :].startswith(part.text)
        named = [one.token.text for one in tokens.take_up_to(part.begin + len(part.text), part.begin)]
        taken[type(part)] += named
        text += part.text if isinstance(part, Content) else ""
    assert taken == {Reasoning: ["", "Hm ", "hm"], Content: ["Hi", " ", "there", "!\n"]}
    assert text == "Hi there!\n"
    assert answer.thoughts == [(1, 21)]


def test_what_was_thought_is_counted_in_tokens_its_tags_included() -> None:
    tokens, answer, _ = heard("".join(WORDS), WORDS)
    assert tokens.num_in(answer.thoughts) == 5, "not the first, which begins before the tag"
    tokens, answer, _ = heard("<think>Hm", ["<think>", "Hm"])
    assert (answer.thoughts, tokens.num_in(answer.thoughts)) == ([(0, 9)], 2), "of a thought that was cut"
    tokens, answer, _ = heard("Hm", ["Hm"])
    assert tokens.num_in(answer.thoughts) == 0
