"""Answers that must look like something, as clients ask for them: valid, streamed, and refused in a sentence."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from llguidance import LLMatcher

from mlx_spec.decoding.constraints import compiling
from tests.server.live import Live

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["cat", "dog"]},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
HELLO = [{"role": "user", "content": "hello"}]


def asked(live: Live, path: str = "chat/completions", **fields: Any) -> Any:
    """The parsed answer to a request with these fields."""
    about = {"messages": HELLO} if path.startswith("chat") else {"prompt": "hello"}
    answer = live.http.post(f"/v1/{path}", json=about | {"model": "tiny", "max_tokens": 80, "seed": 3} | fields)
    return answer.json() | {"status": answer.status_code}


def strict(schema: object, **more: Any) -> dict[str, Any]:
    """A `response_format`."""
    return {"type": "json_schema", "json_schema": {"name": "pet", "schema": schema, "strict": True} | more}


def test_a_schema_is_followed_by_chats_and_completions_streamed_or_not(tiny: Live) -> None:
    texts = []
    for drafter in ("auto", "none"):
        chat = asked(tiny, response_format=strict(SCHEMA), speculation={"drafter": drafter})
        texts.append(chat["choices"][0]["message"]["content"])
        assert chat["choices"][0]["finish_reason"] == "stop"
    jsonschema.validate(json.loads(texts[0]), SCHEMA)
    assert texts[0] == texts[1]
    assert texts[0].startswith('{"name": "'), "a strict schema has one style"
    stream = tiny.openai.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=80, seed=3, stream=True, response_format=strict(SCHEMA)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == texts[0]
    text = asked(tiny, "completions", response_format=strict(SCHEMA, spacing="compact"))["choices"][0]["text"]
    jsonschema.validate(json.loads(text), SCHEMA)
    assert text.startswith('{"name":"')


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"regex": "(yes|no)[!]{2}"}, {"yes!!", "no!!"}),
        ({"grammar": 'start: "a" b\nb: "x" | "y"'}, {"ax", "ay"}),
        ({"grammar": 'root ::= "a" b\nb ::= "x" | "y"'}, {"ax", "ay"}),
        ({"response_format": strict({"const": 7})}, {"7"}),
        ({"json_schema": {"const": 7}}, {"7"}),
        ({"response_format": {"type": "json_object", "schema": {"const": "a"}}}, {'"a"'}),
    ],
)
def test_every_kind_of_shape_is_followed(tiny: Live, fields: dict[str, Any], expected: set[str]) -> None:
    answer = asked(tiny, **fields)
    assert answer["choices"][0]["message"]["content"] in expected, answer
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_object_that_is_cut_short_says_so_and_any_text_is_free(tiny: Live) -> None:
    cut = asked(tiny, response_format={"type": "json_object"}, max_tokens=6)["choices"][0]
    assert cut["finish_reason"] == "length"
    assert cut["message"]["content"].startswith("{")
    free = asked(tiny, response_format={"type": "text"}, regex="", grammar=None)
    assert free["choices"][0]["message"]["content"] == asked(tiny)["choices"][0]["message"]["content"]


WIDE = {"type": "object", "properties": {f"k{i}": {"type": "string"} for i in range(4000)}}
DEEP: dict[str, Any] = {"type": "integer"}
for _ in range(300):
    DEEP = {"type": "array", "items": DEEP}
MANY = [{"required": [f"k{i}"]} for i in range(10_000)]
ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"], "additionalProperties": False}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"response_format": {"type": "xml"}}, "response_format.type", "it must be one of"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is missing"),
    ({"response_format": strict({"type": "object", "uniqueItems": True, "if": {}})}, "response_format", '"if", "uniq'),
    ({"response_format": strict({"$ref": "https://example.com/s.json"})}, "response_format", "none is fetched"),
    ({"response_format": strict({"$ref": "#"})}, "response_format", "ever ends"),
    ({"response_format": strict(ENDLESS)}, "response_format", "ever ends"),
    ({"response_format": strict({"type": "integer", "minimum": 5, "maximum": 3})}, "response_format", "Unsatisfiable"),
    ({"response_format": strict(False)}, "response_format", "nothing is valid"),
    ({"response_format": strict({"type": "strin"})}, "response_format", "Invalid type"),
    ({"response_format": strict({"pattern": "(?=a)b", "type": "string"})}, "response_format", "look-around"),
    ({"response_format": strict(DEEP)}, "response_format", "recursion limit"),
    ({"response_format": strict({"anyOf": [{"$ref": "#/0"}] * 10_000 + [DEEP]})}, "response_format", "recursion limit"),
    ({"response_format": strict({"anyOf": MANY})}, "response_format", "The schema "),  # too large, or too slow
    ({"response_format": strict(WIDE)}, "response_format", "4,000 properties"),
    ({"response_format": strict({"const": "\ud800"})}, "response_format", "surrogate"),
    ({"response_format": strict(SCHEMA, spacing="airy")}, "response_format.json_schema.spacing", "it must be one of"),
    ({"json_schema": 5}, "json_schema", "it must be a JSON object"),
    ({"json_schema": {"const": 7}, "regex": "a"}, "regex", "beside json_schema"),
    ({"regex": "(a"}, "regex", "unclosed group"),
    ({"regex": 5}, "regex", "it must be a string"),
    ({"regex": "a" * 2_000_000}, "regex", "characters"),
    ({"grammar": "start: nope"}, "grammar", "unknown name"),
    ({"grammar": "root ::= ("}, "grammar", "GBNF"),
    ({"grammar": 'start: "a"', "regex": "a"}, "grammar", "beside regex"),
]


@pytest.mark.parametrize(("fields", "param", "part"), BAD)
def test_what_cannot_be_followed_is_refused_in_a_sentence(
    tiny: Live, fields: dict[str, Any], param: str, part: str
) -> None:
    content = json.dumps({"messages": HELLO, "model": "tiny"} | fields)
    answer = tiny.http.post("/v1/chat/completions", content=content)
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert error["param"] == param
    assert part in error["message"]
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]


def test_others_are_answered_while_a_shape_is_compiled_and_it_has_a_second(
    tiny: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()

    def slow(*args: object, **kwargs: object) -> object:
        begun.set()
        over.wait(10)
        return LLMatcher(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(compiling, "LLMatcher", slow)
    monkeypatch.setattr(compiling, "PATIENCE_S", 3.0)
    with ThreadPoolExecutor() as pool:
        late = pool.submit(asked, tiny, regex="a{3}b")
        assert begun.wait(5)
        assert asked(tiny, max_tokens=2)["choices"][0]["finish_reason"] == "length"
        assert not late.done()
        over.set()
        assert late.result()["choices"][0]["message"]["content"] == "aaab"
    over.clear()
    monkeypatch.setattr(compiling, "PATIENCE_S", 0.05)
    refused = asked(tiny, regex="a{4}b")
    over.set()
    assert refused["status"] == 400
    assert "takes longer than 0.05 s to compile" in refused["error"]["message"]
