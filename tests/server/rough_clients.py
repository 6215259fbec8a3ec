"""Clients that a server must survive, against a real one: a thousand connections at once, and all kinds of bad input.

    python -m tests.server.rough_clients [--connections 1000] [--open-files 256]

Half of the connections ask something whole; the others say nothing, stop within their headers, or within their body.
Whoever asked must be told something: an answer, or when to come back. Meanwhile and afterwards the server answers
/health and everything else, and nothing of them is left. Speaks HTTP only; not part of the suite.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil

from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.paired.own_server import own_server
from mlx_spec.machine.program import own_command
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama

CHAT: Final = "/v1/chat/completions"
CONTEXT: Final = 4_096
PATIENCE_S: Final = 240.0
SETTLE_S: Final = 60.0
OPTIONS: Final = ("--kv-memory", "1", "--max-batch", "8", "--max-waiting", "64")
WHOLE, SILENT, IN_HEADERS, IN_BODY = "whole", "silent", "in its headers", "in its body"
KINDS: Final = (WHOLE, WHOLE, WHOLE, SILENT, WHOLE, IN_HEADERS, WHOLE, IN_BODY)


class Rough:
    """What is found: `faults` are sentences, and there should be none."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.process = url, psutil.Process(pid)
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False)
        self.faults: list[str] = []

    def check(self, good: bool, sentence: str) -> None:
        """Tell it, and keep it where it is not good."""
        sys.stdout.write(f"{'ok   ' if good else 'FAULT'} {sentence}\n")
        sys.stdout.flush()
        if not good:
            self.faults.append(sentence)

    def is_idle(self) -> bool:
        """Whether nobody is answered, nobody waits, and what was read and forgotten has left no block in use."""
        batch = self.http.get("/v1/batch").json()
        self.http.delete("/v1/prefixes")
        used = self.http.get("/v1/models/memory").json()["blocks"]["used"]
        return not batch["running"] and not batch["waiting"] and not used

    def settle(self, what: str) -> None:
        """Nothing is left of what was asked, and a question is answered as ever."""
        until = time.monotonic() + SETTLE_S
        while not (idle := self.is_idle()) and time.monotonic() < until:
            time.sleep(0.2)
        said = self.http.post(CHAT, json=asking(1))
        self.check(idle and said.status_code == 200, f"{what}: nothing is left, and the server answers")


def asking(seed: int, **fields: Any) -> dict[str, Any]:
    """A body whose answer is short."""
    return {"messages": [{"role": "user", "content": f"Why {seed}?"}], "max_tokens": 4, "seed": seed} | fields


def request_bytes(host: str, body: dict[str, Any]) -> bytes:
    """A whole request, after which the connection is closed."""
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def connection(host: str, number: int, kind: str, gone: asyncio.Event) -> str:
    """One of the crowd; what it was told. Who does not ask stays until all who asked are `gone`."""
    name, port = host.rsplit(":", 1)
    asked = request_bytes(host, asking(number, stream=number % 2 == 0))
    part = {WHOLE: asked, SILENT: b"", IN_HEADERS: asked[:40], IN_BODY: asked[:-9]}[kind]
    try:
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(part)
        await writer.drain()
        if kind != WHOLE:
            await gone.wait()
            writer.close()
            return kind
        said = await reader.read()
        writer.close()
    except OSError as error:
        return f"{kind}: {type(error).__name__}"
    return told(said)


def told(said: bytes) -> str:
    """What a client was told, in a word."""
    head, _, body = said.partition(b"\r\n\r\n")
    status = head.split(b" ")[1].decode() if head.startswith(b"HTTP/1.1 ") else "nothing"
    if status == "200":
        streamed = b"text/event-stream" in head.lower()
        whole = b"[DONE]" in body if streamed else b'"finish_reason"' in body
        return "200" if whole else "200, cut off"
    return status if status != "429" or b"retry-after:" in head.lower() else "429 without Retry-After"


async def flood(rough: Rough, count: int) -> None:
    """All at once."""
    host, gone = urlsplit(rough.url).netloc, asyncio.Event()
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    every = [asyncio.create_task(connection(host, at, kind, gone)) for at, kind in enumerate(kinds)]
    whole = [task for task, kind in zip(every, kinds, strict=True) if kind == WHOLE]
    slowest = 0.0
    async with httpx.AsyncClient(base_url=rough.url, timeout=PATIENCE_S, trust_env=False) as client:
        until = time.monotonic() + PATIENCE_S
        while not all(task.done() for task in whole) and time.monotonic() < until:
            began = time.monotonic()
            assert (await client.get("/health")).json()["status"] == "ready"
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.5)
    silent = sum(not task.done() for task in whole)
    gone.set()
    for task in whole:
        task.cancel()
    said = Counter(await asyncio.gather(*(task for task in every if task not in whole), return_exceptions=False))
    answers = Counter(task.result() for task in whole if task.done() and not task.cancelled())
    rough.check(
        not silent and set(answers) <= {"200", "429"} and answers["200"] >= 72,
        f"{count} connections: told {dict(answers)}, {silent} heard nothing; the others {dict(said)}",
    )
    sys.stdout.write(f"     /health took {slowest:.2f} s at the most meanwhile\n")


def statuses(rough: Rough) -> None:
    """What is none is told in a sentence, with a status, and nothing is computed for it."""
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({"priority": "urgent"}, 400, "priority"),
        ({"priority": 3}, 400, "priority"),
        ({"priority": ""}, 400, "priority"),
        ({"deadline_ms": "soon"}, 400, "deadline_ms"),
        ({"deadline_ms": True}, 400, "deadline_ms"),
        ({"deadline_ms": [5]}, 400, "deadline_ms"),
        ({"deadline_ms": 1e400}, 400, "deadline_ms"),
        ({"deadline_ms": 0}, 408, "deadline_ms"),
        ({"deadline_ms": -1}, 408, "deadline_ms"),
        ({"n": 129}, 400, "n"),
        ({"n": 0}, 400, "n"),
        ({"messages": [{"role": "user", "content": "x" * (CONTEXT - 20)}]}, 400, "messages"),
    ]
    for stream in (False, True):
        for fields, status, param in wrong:
            said = rough.http.post(
                CHAT,
                content=json.dumps(asking(1, stream=stream) | fields),
                headers={"content-type": "application/json"},
            )
            error = said.json().get("error", {})
            shown = {name: str(value)[:24] for name, value in fields.items()}
            rough.check(
                (said.status_code, error.get("param")) == (status, param),
                f"{shown}{', streamed' if stream else ''}: {said.status_code} {str(error.get('message'))[:140]}",
            )


def cancelled(rough: Rough) -> None:
    """While a prompt is read, while an answer is swapped out, and each twice; one that is none."""
    asyncio.run(cancelled_in(rough, "reading", 1, prompt_tokens=1_100))
    asyncio.run(cancelled_in(rough, "swapped", 8, prompt_tokens=200))
    none = rough.http.delete("/v1/batch/none")
    rough.check(none.status_code == 404, f"to cancel what is none: {none.status_code} {none.text[:120]}")


async def cancelled_in(rough: Rough, state: str, count: int, *, prompt_tokens: int) -> None:
    """Of so many that are answered, one is cancelled as soon as it is in that state, and once more; the others, and
    those behind, are not disturbed."""
    async with httpx.AsyncClient(base_url=rough.url, timeout=PATIENCE_S, trust_env=False) as client:

        async def ask(number: int) -> str:
            text = (f"{number} the sea is blue, " * prompt_tokens)[:prompt_tokens]
            body = asking(number, max_tokens=600, temperature=1.2, stream=True, messages=[as_user(text)])
            return (await client.post(CHAT, json=body)).text

        tasks = [asyncio.create_task(ask(number)) for number in range(count)]
        name = await one_in(client, state)
        if name is None:
            rough.check(False, f"nobody was ever {state}")
            return
        twice = [(await client.delete(f"/v1/batch/{name}")).status_code for _ in range(2)]
        ends = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
    finished = [text for text in ends if text.rstrip().endswith("[DONE]")]
    told = [text.rstrip()[-160:] for text in ends if text not in finished]
    rough.check(
        twice[0] == 200 and twice[1] in (200, 404) and len(finished) == count - 1,
        f"cancelled while {state}, and again: {twice}; {len(finished)} of {count} end as ever, the other: {told}",
    )


async def one_in(client: httpx.AsyncClient, state: str) -> str | None:
    """The id of an answer in that state, as soon as there is one; None where none comes."""
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        batch = (await client.get("/v1/batch")).json()
        for one in (*batch["running"], *batch["waiting"]):
            if one["state"] == state:
                return str(one["id"])
    return None


def as_user(text: str) -> dict[str, str]:
    """A message."""
    return {"role": "user", "content": text}


def bad_options() -> list[tuple[str, int, str]]:
    """What `serve` says to options that are none: the option, its exit code, its last line."""
    found = []
    for name, value in (("--max-batch", "0"), ("--max-waiting", "-1"), ("--policy", "luck"), ("--preemption", "no")):
        done = subprocess.run(own_command("serve", name, value), capture_output=True, text=True, check=False)
        lines = [line.strip("╭╮╰╯│─ ") for line in done.stderr.splitlines()]
        found.append((f"{name} {value}", done.returncode, [line for line in lines if line][-1]))
    return found


def gone_through(connections: int, open_files: int | None) -> list[str]:
    """Everything, with a server of its own; the faults."""
    if open_files is not None:  # of the server, which is started with them, and of nobody else
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, before[1]))
    with tempfile.TemporaryDirectory(prefix="lookahead-rough-") as scratch:
        folder = save_folder(tiny_llama(0, hidden=48), Path(scratch) / "target")
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": CONTEXT}))
        with own_server(ModelChoice(folder, folder), options=OPTIONS) as (url, pid):
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            rough = Rough(url, pid)
            for option, code, line in bad_options():
                rough.check(code == 2, f"serve {option}: exit {code}, {line}")
            rough.settle("at first")
            files = rough.process.num_fds()
            statuses(rough)
            rough.settle("bad fields")
            cancelled(rough)
            rough.settle("cancelled")
            asyncio.run(flood(rough, connections))
            rough.settle("a flood")
            until = time.monotonic() + SETTLE_S
            while (now := rough.process.num_fds()) > files + 8 and time.monotonic() < until:
                time.sleep(0.5)
            rough.check(now <= files + 8, f"{files} open files before, {now} after")
    return rough.faults


def main() -> int:
    """Exit code 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--open-files", type=int, help="the server may have so many at first, as under macOS 256")
    given = parser.parse_args()
    return 1 if gone_through(given.connections, given.open_files) else 0


if __name__ == "__main__":
    sys.exit(main())
