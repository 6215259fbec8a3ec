"""`python check_frameworks.py ADDRESS NAME…`: Python's frameworks against `serve_script`. Not part of CI.

Each wants an environment of its own: langchain (with langchain-openai), litellm, pydantic_ai (pydantic-ai-slim with
openai and anthropic), instructor, llm. Prints a line for each, and ends with code 1 where one fails.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, cast

ADDRESS = sys.argv[1].rstrip("/")
V1 = f"{ADDRESS}/v1"
SCRIPT = 'Rome? SCRIPT [["weather", {"city": "Rome"}], "It is sunny."] END'
ADA = 'Who? SCRIPT ["{\\"name\\": \\"Ada\\", \\"age\\": 36}"] END'
CALL_ADA = 'Who? SCRIPT [["%s", {"name": "Ada", "age": 36}]] END'


def langchain() -> None:
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"sun in {city}"

    said: list[str] = []
    for responses in (False, True):
        model = ChatOpenAI(
            model="scripted", base_url=V1, api_key=cast(Any, "none"), max_retries=0, use_responses_api=responses
        )
        assert model.invoke("hi").text == "All is well."
        assert "".join(chunk.text for chunk in model.stream("hi")) == "All is well."
        [call] = model.bind_tools([weather]).invoke("call").tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
        answers = cast(Any, create_agent(model, [weather])).invoke({"messages": [("user", SCRIPT)]})["messages"]
        said += [answers[-2].text, answers[-1].text]
        for method in ("json_schema", "function_calling"):
            person = model.with_structured_output(Person, method=method).invoke("hi")
            assert isinstance(person, Person), method
        assert model.with_structured_output(Person).invoke(ADA) == Person(name="Ada", age=36)
    assert said == ["sun in Rome", "It is sunny."] * 2
    likely = ChatOpenAI(model="scripted", base_url=V1, api_key=cast(Any, "none"), logprobs=True, top_logprobs=2)
    assert likely.invoke("hi", max_tokens=4).response_metadata["logprobs"]["content"]
    usage = ChatOpenAI(model="scripted", base_url=V1, api_key=cast(Any, "none")).invoke("think").usage_metadata
    assert usage is not None
    assert usage["output_token_details"]["reasoning"] == 4


def litellm() -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it looks for prices first
    import litellm as lib
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    lib.suppress_debug_info = True
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    ways = [("openai/scripted", V1), ("hosted_vllm/scripted", V1), ("lm_studio/scripted", V1)]
    ways += [("ollama_chat/scripted", ADDRESS), ("anthropic/scripted", ADDRESS)]
    for model, base in ways:
        asked: dict[str, Any] = {"model": model, "api_base": base, "api_key": "none", "num_retries": 0}
        whole: Any = lib.completion(messages=[{"role": "user", "content": "think"}], **asked)
        assert whole.choices[0].message.content == "All is well.", model
        chunks: Any = lib.completion(messages=[{"role": "user", "content": "hi"}], stream=True, **asked)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "All is well.", model
        called: Any = lib.completion(messages=[{"role": "user", "content": "call"}], tools=tools, **asked)
        [call] = called.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Paris"}, model
    told: Any = lib.completion(
        model="openai/scripted",
        api_base=V1,
        api_key="none",
        messages=[{"role": "user", "content": ADA}],
        response_format=Person,
    )
    assert Person.model_validate_json(told.choices[0].message.content) == Person(name="Ada", age=36)
    answer: Any = lib.responses(model="openai/scripted", api_base=V1, api_key="none", input="hi")
    assert answer.output[0].content[0].text == "All is well."
    try:
        lib.completion(model="openai/scripted", api_base=V1, api_key="none", messages=[{"role": "x", "content": ""}])
    except lib.BadRequestError:
        return
    raise AssertionError("a bad request was taken")


def pydantic_ai() -> None:
    import asyncio

    from pydantic import BaseModel
    from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    class Person(BaseModel):
        name: str
        age: int

    def weather(city: str) -> str:
        """The weather of a city."""
        return f"sun in {city}"

    provider = OpenAIProvider(base_url=V1, api_key="none")
    models: list[Any] = [
        OpenAIChatModel("scripted", provider=provider),
        OpenAIResponsesModel("scripted", provider=provider),
        AnthropicModel("scripted", provider=AnthropicProvider(base_url=ADDRESS, api_key="none")),
    ]

    async def streamed(model: Any) -> str:
        async with Agent(model).run_stream("hi") as run:
            return str(await run.get_output())

    for model in models:
        assert Agent(model).run_sync("think").output == "All is well."
        assert asyncio.run(streamed(model)) == "All is well."
        assert Agent(model, tools=[weather]).run_sync(SCRIPT).output == "It is sunny."
        ada = Person(name="Ada", age=36)
        assert Agent(model, output_type=PromptedOutput(Person)).run_sync(ADA).output == ada
        called = Agent(model, output_type=ToolOutput(Person)).run_sync(CALL_ADA % "final_result")
        assert called.output == ada
    for model in models[:2]:  # with its Anthropic model it has none; a tiny model writes the second
        assert Agent(model, output_type=NativeOutput(Person)).run_sync(ADA).output == ada
        assert isinstance(Agent(model, output_type=NativeOutput(Person)).run_sync("hi").output, Person)


def instructor() -> None:
    import instructor as lib
    import openai
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    client = openai.OpenAI(base_url=V1, api_key="none", max_retries=0)
    for mode in (lib.Mode.TOOLS, lib.Mode.JSON, lib.Mode.JSON_SCHEMA, lib.Mode.MD_JSON):
        asks = lib.from_openai(client, mode=mode)
        text = CALL_ADA % "Person" if mode is lib.Mode.TOOLS else ADA
        asked: dict[str, Any] = {"model": "scripted", "response_model": Person, "max_retries": 0}
        person = asks.chat.completions.create(messages=[{"role": "user", "content": text}], **asked)
        assert (person.name, person.age) == ("Ada", 36), mode
        parts = list(asks.chat.completions.create_partial(messages=[{"role": "user", "content": text}], **asked))
        assert parts[-1].age == 36, mode
        if mode in (lib.Mode.TOOLS, lib.Mode.JSON_SCHEMA):  # a tiny model writes these
            made = asks.chat.completions.create(messages=[{"role": "user", "content": "hi"}], **asked)
            assert isinstance(made, Person), mode


def llm() -> None:
    """Simon Willison's command, as a person installs it."""
    with tempfile.TemporaryDirectory() as home:
        features = {"supports_schema": True, "supports_tools": True}
        model = {"model_id": "look", "model_name": "scripted", "api_base": V1} | features
        Path(home, "extra-openai-models.yaml").write_text(json.dumps([model]))
        Path(home, "tool.py").write_text('def weather(city: str) -> str:\n    """Of a city."""\n    return "sun"\n')
        env = os.environ | {"LLM_USER_PATH": home, "OPENAI_API_KEY": "none"}

        def say(*words: str) -> str:
            command = [str(Path(sys.executable).with_name("llm")), *words]
            return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

        assert say("-m", "look", "hi").strip() == "All is well."
        assert say("-m", "look", "--no-stream", "hi").strip() == "All is well."
        assert json.loads(say("-m", "look", "--schema", "name, age int", "hi")).keys() == {"name", "age"}
        assert say("-m", "look", "--functions", str(Path(home, "tool.py")), SCRIPT).strip() == "It is sunny."
        assert say("-c", "and?").strip() == "It is sunny.", "the conversation goes on"


CHECKS = {one.__name__: one for one in (langchain, litellm, pydantic_ai, instructor, llm)}


def main() -> int:
    """Those that are named, or all."""
    failed = 0
    for name in sys.argv[2:] or CHECKS:
        try:
            CHECKS[name]()
            word = "works"
        except Exception:  # noqa: BLE001 - told, and the others are run
            failed += 1
            traceback.print_exc()
            word = "failed"
        sys.stdout.write(f"{name}: {word}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
