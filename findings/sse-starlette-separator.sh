#!/bin/sh
# sse-starlette: a response's own line separator is not its events'.
#
# EventSourceResponse(…, sep="\n") ends texts and dicts with "\n", and a ServerSentEvent with "\r\n" unless it is told
# the same, so one stream has both. Readers that split at "\n\n", as openresponses' test does, lose those events.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check sse-starlette==3.7.0 starlette==1.10.0
cat >"$here/try.py" <<'PY'
import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent


async def events() -> AsyncIterator[Any]:
    yield "text"
    yield {"data": "dict"}
    yield ServerSentEvent("event")
    yield ServerSentEvent("told", sep="\n")


async def sent() -> list[bytes]:
    parts: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            parts.append(message["body"])

    async def receive() -> Any:
        await asyncio.sleep(60)

    await EventSourceResponse(events(), sep="\n")({"type": "http", "method": "GET", "path": "/"}, receive, send)
    return parts


parts = asyncio.run(sent())
print("sse-starlette", version("sse-starlette"))
for part in parts:
    print(part)
seen = [b"data: text\n\n", b"data: dict\n\n", b"data: event\r\n\r\n", b"data: told\n\n"]
raise SystemExit(0 if parts == seen else "it is otherwise now")
PY
"$here/venv/bin/python" "$here/try.py"
