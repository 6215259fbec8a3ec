"""`python check_python_clients.py ADDRESS`: the real Python clients against `serve_script`. Not part of CI.

Needs openai, anthropic and ollama; prints a line for each check and ends with code 1 where one fails.
"""

import sys
import traceback
from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import openai

ADDRESS = sys.argv[1].rstrip("/")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "weather", "description": "Of a city.", "parameters": SCHEMA}
PARIS = {"city": "Paris"}
ASKED = "think, then call"


def user(content: Any) -> dict[str, Any]:
    """A turn of the user's."""
    return {"role": "user", "content": content}


def refused(kind: type[Exception], ask: Callable[[], object]) -> Any:
    """What `ask` is refused with, which must be of `kind`."""
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def responses() -> None:
    """OpenAI's client."""
    client = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
    tool: Any = {"type": "function", **FUNCTION, "strict": False}
    first = client.responses.create(model="scripted", input="hi")
    assert (first.status, first.output_text) == ("completed", "All is well.")
    second = client.responses.create(model="scripted", input="think", previous_response_id=first.id)
    assert [item.type for item in second.output] == ["reasoning", "message"]
    assert client.responses.retrieve(second.id).output_text == second.output_text
    assert len(client.responses.input_items.list(second.id).data) == 1
    with client.responses.stream(model="scripted", input=ASKED, tools=[tool]) as stream:
        kinds = [event.type for event in stream]
        called = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_text.delta" in kinds
    assert "response.function_call_arguments.done" in kinds
    call: Any = called.output[-1]
    assert (call.name, call.arguments) == ("weather", '{"city": "Paris"}')
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    told = client.responses.create(model="scripted", input=[result], previous_response_id=called.id, tools=[tool])
    assert told.output_text == "All is well."
    failing = client.responses.create(model="scripted", input="fail", stream=True)
    assert [event.type for event in failing][-1] == "response.failed"
    image: Any = user([{"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"}])
    error = refused(openai.BadRequestError, lambda: client.responses.create(model="scripted", input=[image]))
    assert error.param == "input[0].content[0].type"
    client.responses.delete(first.id)
    refused(openai.NotFoundError, lambda: client.responses.retrieve(first.id))


def messages() -> None:
    """Anthropic's client."""
    client = anthropic.Anthropic(base_url=ADDRESS, api_key="none", max_retries=0)
    asked: dict[str, Any] = {"model": "scripted", "max_tokens": 2000, "messages": [user("hi")]}
    tools: Any = [{"name": "weather", "description": "Of a city.", "input_schema": SCHEMA}]
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    assert client.messages.create(**asked).content[0].text == "All is well."
    with client.messages.stream(**asked | {"messages": [user(ASKED)]}, tools=tools, thinking=thinking) as stream:
        kinds = [event.type for event in stream]
        called = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in called.content] == ["thinking", "tool_use"]
    use: Any = called.content[-1]
    assert (use.input, called.stop_reason) == (PARIS, "tool_use")
    back = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
    turns = [user(ASKED), {"role": "assistant", "content": called.content}, user([back])]
    assert client.messages.create(**asked | {"messages": turns}, tools=tools).content[0].text == "All is well."
    assert client.messages.count_tokens(model="scripted", messages=asked["messages"]).input_tokens == 2
    assert next(iter(client.models.list())).id == "scripted"
    refused(anthropic.NotFoundError, lambda: client.messages.create(**asked | {"model": "nope"}))
    error = refused(anthropic.BadRequestError, lambda: client.messages.create(**asked | {"max_tokens": 0}))
    assert error.body["error"]["type"] == "invalid_request_error"
    with client.messages.stream(**asked | {"messages": [user("fail")]}) as stream:
        refused(anthropic.APIStatusError, lambda: list(stream))


def chats() -> None:
    """Ollama's client."""
    client = ollama.Client(ADDRESS)
    tools: Any = [{"type": "function", "function": FUNCTION}]
    whole = client.chat("scripted", [user("think hi")])
    assert (whole.message.content, whole.message.thinking) == ("All is well.", "Let me see.")
    lines = list(client.chat("scripted", [user(ASKED)], tools=tools, stream=True, think=True))
    [call] = [call for line in lines for call in line.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments, lines[-1].done) == ("weather", PARIS, True)
    turns: list[Any] = [user(ASKED), {"role": "assistant", "content": "", "tool_calls": [call.model_dump()]}]
    turns.append({"role": "tool", "tool_name": "weather", "content": "sun"})
    assert client.chat("scripted", turns, tools=tools).message.content == "All is well."
    assert client.generate("scripted", "hi", system="Be brief.").response == "All is well."
    assert client.generate("scripted", "").done_reason == "load"
    assert [model.model for model in client.ps().models] == ["scripted"]
    assert client.list().models[0].model == "scripted"
    assert "completion" in (client.show("scripted").capabilities or ())
    error = refused(ollama.ResponseError, lambda: client.chat("scripted", [user("x")], options={"mirostat": 2}))
    assert (error.status_code, "options.mirostat is 2" in error.error) == (400, True)
    refused(ollama.ResponseError, lambda: list(client.chat("scripted", [user("fail")], stream=True)))
    assert client.generate("scripted", "", keep_alive=0).done_reason == "unload"


def main() -> int:
    """All of them."""
    failed = 0
    for check in (responses, messages, chats):
        try:
            check()
        except Exception:  # noqa: BLE001 - told, and the others are run
            failed += 1
            traceback.print_exc()
        sys.stdout.write(f"{check.__doc__}: {'failed' if failed else 'works'}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
