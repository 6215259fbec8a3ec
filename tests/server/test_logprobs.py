"""Log-probabilities by OpenAI's own client: of chats, of completions, of prompts that are echoed; as lm-eval asks."""

from operator import itemgetter
from typing import Any

import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import (
    EmittedToken,
    FinishReason,
    GenerationFinished,
    RoundFinished,
    SpeculativeStats,
    TokenLogprob,
)
from mlx_spec.server.answers.logprobs import HeldTokens, placed_in, text_of
from tests.server.live import Live
from tests.tiny import tiny_pair

MESSAGES: list[Any] = [{"role": "user", "content": "Tell me a story."}]
ASK: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "seed": 5, "temperature": 0.8, "max_tokens": 30}
PROMPT: dict[str, Any] = {"model": "tiny", "prompt": "Once upon a time, é", "seed": 3, "temperature": 0}


def test_a_chat_tells_them_streamed_and_whole(tiny: Live) -> None:
    whole = tiny.openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=4).choices[0]
    assert whole.logprobs is not None
    assert whole.logprobs.content is not None
    assert whole.message.content is not None
    content = whole.logprobs.content
    assert len(content) == 30
    spelled = b"".join(bytes(token.bytes or []) for token in content)
    # A random model says what is no text, of which no two decoders make the same.
    assert bytes(byte for byte in spelled if byte < 128).decode() == "".join(
        character for character in whole.message.content if character.isascii()
    )
    for token in content:
        assert len(token.top_logprobs) == 4
        assert [top.logprob for top in token.top_logprobs] == sorted(
            (top.logprob for top in token.top_logprobs), reverse=True
        )
        assert token.logprob <= token.top_logprobs[0].logprob <= 0
    chunks = tiny.openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=4, stream=True)
    streamed = [chunk.choices[0].logprobs for chunk in chunks]
    found = [token for one in streamed if one is not None for token in one.content or []]
    assert [token.bytes for token in found] == [token.bytes for token in content]
    assert [token.logprob for token in found] == pytest.approx([token.logprob for token in content], abs=1e-5)


def test_nobody_is_told_who_did_not_ask(tiny: Live) -> None:
    assert tiny.openai.chat.completions.create(**ASK).choices[0].logprobs is None
    chunks = tiny.openai.chat.completions.create(**ASK, stream=True)
    assert all(chunk.choices[0].logprobs is None for chunk in chunks)
    bare = tiny.openai.chat.completions.create(**ASK, logprobs=True).choices[0].logprobs
    assert bare is not None
    assert bare.content is not None
    assert all(not token.top_logprobs for token in bare.content)


def test_each_choice_has_its_own(tiny: Live) -> None:
    answer = tiny.openai.chat.completions.create(**ASK | {"max_tokens": 6}, n=2, logprobs=True)
    told = [choice.logprobs.content for choice in answer.choices if choice.logprobs and choice.logprobs.content]
    assert [len(content) for content in told] == [6, 6]
    assert told[0] != told[1]


def test_a_completion_echoes_its_prompt_with_theirs(tiny: Live) -> None:
    choice = tiny.openai.completions.create(**PROMPT, max_tokens=5, echo=True, logprobs=2).choices[0]
    assert choice.text.startswith(PROMPT["prompt"])
    told = choice.logprobs
    assert told is not None
    assert told.tokens
    assert told.token_logprobs
    assert told.top_logprobs
    assert told.text_offset
    size = len(PROMPT["prompt"].encode())
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) == size + 5
    assert told.tokens[:4] == ["O", "n", "c", "e"]
    assert told.tokens[size - 2 : size] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert told.text_offset[:4] == [0, 1, 2, 3]
    assert told.text_offset[size - 2 : size + 1] == [18, 18, 19]
    assert told.token_logprobs[0] is None
    assert told.top_logprobs[0] is None
    assert all(value is not None and value <= 0 for value in told.token_logprobs[1:])
    chunks = list(tiny.openai.completions.create(**PROMPT, max_tokens=5, echo=True, logprobs=2, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text
    parts = [one for chunk in chunks if (one := chunk.choices[0].logprobs) is not None]
    assert [token for part in parts for token in part.tokens or []] == told.tokens
    assert [at for part in parts for at in part.text_offset or []] == told.text_offset


@pytest.mark.parametrize("how", [{}, {"stream": True}])
def test_an_echo_alone_is_the_prompt_and_the_answer(tiny: Live, how: dict[str, Any]) -> None:
    pair = tiny.engine.pair
    assert pair is not None
    bare = tiny.openai.completions.create(**PROMPT, max_tokens=5).choices[0].text
    for prompt in (PROMPT["prompt"], pair.encode(PROMPT["prompt"])):
        answer = tiny.openai.completions.create(**PROMPT | {"prompt": prompt}, max_tokens=5, echo=True, **how)
        choices = [chunk.choices[0] for chunk in answer] if how else [answer.choices[0]]
        assert "".join(choice.text for choice in choices) == PROMPT["prompt"] + bare
        assert all(choice.logprobs is None for choice in choices)


def test_lm_eval_finds_the_likelihood_of_what_follows_a_context(tiny: Live) -> None:
    """What its `local-completions` sends and how it reads the answer (openai_completions.py, `parse_logprobs`)."""
    contexts, followed = [[72, 101, 108, 108], [87, 104]], [[111, 33], [121]]
    prompts = [context + rest for context, rest in zip(contexts, followed, strict=True)]
    body = {"model": "tiny", "prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234}
    answers = {}
    for limit in (0, 1):
        answer = tiny.http.post("/v1/completions", json=body | {"echo": True, "max_tokens": limit}).json()
        told = [choice["logprobs"] for choice in sorted(answer["choices"], key=itemgetter("index"))]
        behind = -1 if limit else None
        answers[limit] = [
            (one["token_logprobs"][len(context) : behind], one["top_logprobs"][len(context) : behind])
            for one, context in zip(told, contexts, strict=True)
        ]
        assert [len(logprobs) for logprobs, _ in answers[limit]] == [2, 1]
    assert answers[0] == answers[1]
    pair = tiny_pair()
    for (logprobs, tops), context, rest in zip(answers[1], contexts, followed, strict=True):
        greedy = _greedy(SpeculativeDecoder(pair), context, len(rest))
        matches = [value == max(top.values()) for value, top in zip(logprobs, tops, strict=True)]
        assert matches[0] == (greedy[0] == rest[0])


def _greedy(decoder: Any, prompt: list[int], count: int) -> list[int]:
    *_, end = decoder.stream(prompt, SamplingParams(), count)
    return list(end.token_ids)


def test_the_end_token_counts_as_the_token_behind_a_prompt(tiny: Live) -> None:
    pair = tiny.engine.pair
    assert pair is not None
    body = PROMPT | {"echo": True, "max_tokens": 1, "logprobs": 1, "logit_bias": {"258": 100}}
    choice = tiny.http.post("/v1/completions", json=body).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert len(choice["logprobs"]["tokens"]) == len(pair.encode(PROMPT["prompt"])) + 1
    assert choice["logprobs"]["tokens"][-1] == "<|im_end|>"
    assert choice["text"] == PROMPT["prompt"]


def emitted(text: str) -> EmittedToken:
    return EmittedToken(ord(text[:1] or "?"), text, "plain", 1.0, None, 0, logprob=_token(text))


def _token(text: str) -> TokenLogprob:
    return TokenLogprob(1, text, text.encode(), -0.5)


def round_of(*texts: str, end: TokenLogprob | None = None) -> RoundFinished:
    tokens = tuple(map(emitted, texts))
    return RoundFinished(0, None, 0, "", 0, (), tokens, 0.0, 0.0, 0.0, end=end)


def finished_with(text: str, reason: FinishReason) -> GenerationFinished:
    return GenerationFinished(reason, (), text, 1, 9, 1.0, SpeculativeStats())


def names(held: list[Any]) -> list[str]:
    return [one.token.text for one in held]


def test_tokens_are_held_back_as_long_as_their_text() -> None:
    held = HeldTokens()
    held.add(round_of("Hel", "lo ", "", "é", "ST"))
    assert names(held.take("Hello ")) == ["Hel", "lo "], "of half a character nothing is out"
    assert names(held.take("é")) == ["", "é"]
    held.add(round_of("OP", "more"))
    assert names(held.finish(finished_with("Hello é", "stop"))) == [], "what a stop string cut off"


def test_half_a_character_at_the_end_goes_with_the_mark_that_stands_for_it() -> None:
    held = HeldTokens()
    held.add(round_of("ab", ""))
    assert names(held.take("ab")) == ["ab"]
    assert names(held.take("\ufffd")) == [""]


def test_a_token_that_is_cut_in_two_is_told_and_an_end_cuts_nothing() -> None:
    held = HeldTokens()
    held.add(round_of("ab!", "c"))
    assert names(held.finish(finished_with("ab", "stop"))) == ["ab!"]
    held = HeldTokens()
    held.add(round_of("ab", "", end=_token("end")))
    assert names(held.finish(finished_with("ab", "stop"))) == ["ab", ""]
    held = HeldTokens()
    held.add(round_of("ab", ""))
    assert names(held.finish(finished_with("ab", "length"))) == ["ab", ""]


def test_special_tokens_of_a_prompt_stand_where_it_names_them() -> None:
    begin, end = (TokenLogprob(at, name, None, None) for at, name in ((1, "<s>"), (2, "</s>")))
    spaced = TokenLogprob(3, " hi", b" hi", -1.0)
    tokens = [begin, spaced, end, _token("x")]
    assert [one.begin for one in placed_in("hi</s>x", tokens)] == [0, 0, 2, 6]
    assert text_of(tokens) == "<s> hi</s>x"
