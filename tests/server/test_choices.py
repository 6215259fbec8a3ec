"""Several answers to one request: choices of one prompt, and prompts."""

from typing import Any

from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder

HOT: dict[str, Any] = {"model": "tiny", "max_tokens": 12, "temperature": 1.0, "seed": 5}
CHAT: dict[str, Any] = HOT | {"messages": [{"role": "user", "content": "Why?"}]}


def test_choice_i_is_what_the_seed_plus_i_says_alone(tiny: Live) -> None:
    several = tiny.openai.chat.completions.create(**CHAT, n=3)
    alone = [tiny.openai.chat.completions.create(**CHAT | {"seed": 5 + i}) for i in range(3)]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert [choice.message.content for choice in several.choices] == [one.choices[0].message.content for one in alone]
    assert len({one.choices[0].message.content for one in alone}) == 3
    assert several.usage is not None
    usages = [one.usage for one in alone if one.usage is not None]
    assert several.usage.prompt_tokens == usages[0].prompt_tokens, "a prompt counts once"
    assert several.usage.completion_tokens == sum(usage.completion_tokens for usage in usages)


def test_streamed_choices_come_one_after_the_other_with_their_index(tiny: Live) -> None:
    whole = tiny.openai.chat.completions.create(**CHAT, n=2)
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(tiny.openai.chat.completions.create(**CHAT, n=2, **options))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.index for choice in choices] == sorted(choice.index for choice in choices)
    for i in (0, 1):
        own = [choice for choice in choices if choice.index == i]
        assert own[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in own) == whole.choices[i].message.content
        assert [choice.finish_reason for choice in own][-1] == whole.choices[i].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_prompts_are_answered_as_if_alone(tiny: Live) -> None:
    pair = tiny.engine.pair
    assert pair is not None
    prompts = ["Once upon", "The end"]
    alone = [tiny.openai.completions.create(**HOT, prompt=prompt).choices[0].text for prompt in prompts]
    for given in (prompts, [pair.encode(prompt) for prompt in prompts]):
        answer = tiny.openai.completions.create(**HOT, prompt=given)
        assert [choice.text for choice in answer.choices] == alone
        assert [choice.index for choice in answer.choices] == [0, 1]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == sum(len(pair.encode(prompt)) for prompt in prompts)
    answer = tiny.openai.completions.create(**HOT, prompt=prompts, n=2)
    assert [answer.choices[0].text, answer.choices[2].text] == alone, "a prompt's choices stand together"


def test_without_a_seed_each_choice_draws_its_own(scripted: Live, script: ScriptedDecoder) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "n": 2}
    assert len(scripted.http.post("/v1/chat/completions", json=body).json()["choices"]) == 2
    assert [call["params"].seed for call in script.calls] == [None, None]
    scripted.http.post("/v1/chat/completions", json=body | {"seed": 2**63 - 1})
    assert [call["params"].seed for call in script.calls[2:]] == [2**63 - 1, 0]


def test_each_of_several_choices_tells_its_own_rounds(scripted: Live) -> None:
    body = {"prompt": ["a", "b"], "speculation": {"events": True}}
    answer = scripted.http.post("/v1/completions", json=body).json()
    assert [len(choice["speculation"]["rounds"]) for choice in answer["choices"]] == [3, 3]
    assert "speculation" not in answer


def test_one_prompt_that_cannot_be_answered_fails_the_request_and_ends_the_others(
    scripted: Live, script: ScriptedDecoder
) -> None:
    refused = scripted.http.post("/v1/completions", json={"prompt": ["x" * 1000, "b"]})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert scripted.http.post("/v1/completions", json={"prompt": "c"}).status_code == 200
    assert [len(call["prompt_ids"]) for call in script.calls] in ([1000, 1], [1000, 1, 1])
