"""A crowd that a server must survive: many clients, a third of whom leave, a pool for five, and its end in between.

    python -m tests.batching.soak [--clients 64] [--requests 2000] [--serve-options "--max-batch 16"]

A server of tiny random models is started, and asked everything alone. Then all clients ask at once. Every answer that
is read to its end must have the words it has alone, also after the server was killed and started anew; afterwards no
block of the pool may be left in use, and the process must not have grown. Whoever was being answered, or waited, when
the server was killed must hear of it within a second, or on a machine that is busy with something else, within as much
longer as everything takes there. Speaks HTTP only; not part of the suite.
"""

import argparse
import asyncio
import json
import random
import shlex
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.paired.own_server import own_server
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama

POOL = ["--kv-memory", "1"]
"""In MB: the least there is. Prompts are as long as a fifth of it."""
ANSWERS = 5
QUESTIONS, ANSWER_TOKENS = 40, 40
HIDDEN, CONTEXT = 48, 4_096
TOLD_WITHIN_S = 1.0
SPIN_S = 0.2
GROWTH = 1.1
"""How much more of a process's memory may be held at the end than in the second quarter, when everything has run."""
SETTLE_S, PATIENCE_S = 60.0, 600.0


@dataclass(frozen=True)
class Question:
    """A body of /v1/completions, which says the same whenever it is asked."""

    body: dict[str, Any]

    @classmethod
    def of(cls, number: int, prompt_tokens: int) -> "Question":
        """Bytes are tokens; half of the questions begin alike."""
        rng = random.Random(number)
        shared = "a text that many of these begin with, longer than a block of the pool is, and read once: "
        begin = shared if number % 2 else f"{number} "
        letters = "".join(rng.choices("abcdefghij klmnop", k=max(1, rng.randint(prompt_tokens // 3, prompt_tokens))))
        prompt = (begin + letters)[:prompt_tokens]
        temperature = (0.0, 0.7, 1.2)[number % 3]
        body = {"model": "default", "prompt": prompt, "seed": number, "temperature": temperature}
        return cls(body | {"max_tokens": ANSWER_TOKENS, "stream": True})


@dataclass
class Soak:
    """What is found: `faults` are sentences, and there should be none."""

    url: str = ""
    questions: list[Question] = field(default_factory=list)
    alone: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def client(self) -> httpx2.AsyncClient:
        """One whose connections nobody counts."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx2.AsyncClient(base_url=self.url, timeout=PATIENCE_S, limits=limits, trust_env=False)

    def check(self, good: bool, sentence: str) -> None:
        """Tell it, and keep it where it is not good."""
        sys.stdout.write(f"{'ok   ' if good else 'FAULT'} {sentence}\n")
        sys.stdout.flush()
        if not good:
            self.faults.append(sentence)


async def answer(client: httpx2.AsyncClient, question: Question, leave_after: int | None = None) -> str | None:
    """The text of an answer; None where it was left after so many pieces. Raises SoakError, or HTTPError."""
    pieces: list[str] = []
    while True:
        async with client.stream("POST", "/v1/completions", json=question.body) as response:
            if response.status_code == 429:
                await asyncio.sleep(min(5.0, float(response.headers.get("retry-after", 1))))
                continue
            if response.status_code != 200:
                raise SoakError(f"status {response.status_code}: {(await response.aread())[:200]!r}")
            if leave_after == 0:
                return None
            async for line in response.aiter_lines():
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data == "[DONE]":
                    return "".join(pieces)
                chunk = json.loads(data) if data else {}
                if "error" in chunk:
                    raise SoakError(str(chunk["error"]))
                pieces += [choice["text"] for choice in chunk.get("choices") or () if choice.get("text")]
                if leave_after is not None and len(pieces) >= leave_after:
                    return None
            raise SoakError("the stream ended without its end")


class SoakError(Exception):
    """A server that says something else than an answer."""


async def ask_alone(soak: Soak) -> None:
    """Everything, one after the other."""
    async with soak.client() as client:
        for number, question in enumerate(soak.questions):
            said = await answer(client, question)
            if soak.alone.setdefault(number, said or "") != said:
                soak.faults.append(f"question {number} has other words alone than before the server was killed")


async def crowd(soak: Soak, clients: int, requests: int, seed: int, memory: Callable[[], int]) -> list[int]:
    """All clients at once; the memory of the process meanwhile, in bytes."""
    rng, held, left = random.Random(seed), list[int](), list(range(requests))
    step = max(1, requests // 40)

    async def one() -> None:
        async with soak.client() as client:
            while left:
                at = left.pop()
                if at % step == 0:
                    held.append(memory())
                number = rng.randrange(len(soak.questions))
                leave_after = rng.randrange(ANSWER_TOKENS // 2) if at % 3 == 0 else None
                try:
                    said = await answer(client, soak.questions[number], leave_after)
                except (httpx2.HTTPError, SoakError) as error:
                    soak.counts["failed"] += 1
                    soak.faults.append(f"request {at}: {error!r}")
                    continue
                right = said == soak.alone[number]
                soak.counts["left" if said is None else "the same words" if right else "other words"] += 1
                if said is not None and not right:
                    soak.faults.append(f"question {number} has other words in the crowd: {said!r}")

    await asyncio.gather(*(one() for _ in range(clients)))
    return held


async def check_nothing_is_left(soak: Soak) -> None:
    """Once nobody is answered and what was read is forgotten, the pool is empty."""
    async with soak.client() as client:
        until = time.monotonic() + SETTLE_S
        batch: dict[str, Any] = {}
        used = -1
        while time.monotonic() < until:
            told = await client.get("/v1/batch")
            batch = told.json() if told.status_code == 200 else {"running": None, "waiting": None}
            await client.delete("/v1/prefixes")
            await asyncio.sleep(0.5)
            used = (await client.get("/v1/models/memory")).json()["blocks"]["used"]
            if not used and not batch["running"] and not batch["waiting"]:
                break
        told_batch = "there is no /v1/batch" if batch["running"] is None else f"/v1/batch tells of {batch['running']}"
        soak.check(not used and not batch["running"] and not batch["waiting"], f"{used} blocks in use; {told_batch}")


async def check_all_are_told(soak: Soak, clients: int, kill: Callable[[], None], name: str) -> None:
    """Each of the clients, answered or waiting, hears within a second that the server is gone."""
    ended: list[float] = []
    silent: list[str] = []
    long = [Question(question.body | {"max_tokens": 100_000}) for question in soak.questions]

    async def one(at: int) -> None:
        async with soak.client() as client:
            try:
                body = long[at % len(long)].body | {"max_tokens": CONTEXT // 2, "temperature": 1.2}
                await answer(client, Question(body))
                silent.append("an answer came to its end")
            except (httpx2.HTTPError, SoakError):
                ended.append(time.monotonic())

    asking = [asyncio.create_task(one(at)) for at in range(clients)]
    await asyncio.sleep(2.0)
    early = len(ended) + len(silent)
    limit_s = TOLD_WITHIN_S * slowness()
    killed = time.monotonic()
    kill()
    await asyncio.wait(asking, timeout=30)
    for task in asking:
        task.cancel()
    late = max((moment - killed for moment in ended), default=float("inf"))
    all_told = len(ended) == clients and early == 0 and late <= limit_s
    told = f"{len(ended)} of {clients} clients told, the last after {late:.2f} s ({early} before)"
    soak.check(all_told, f"{name}: {told}; as busy as the machine is, {limit_s:.2f} s may pass")


def slowness() -> float:
    """How much longer than its own CPU time a process takes here now, as others compute beside it: at least 1."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < SPIN_S:
        pass
    return max(1.0, (time.monotonic() - began) / SPIN_S)


def check_memory(soak: Soak, held: list[int]) -> None:
    """The last quarter holds hardly more than the second."""
    quarter = len(held) // 4
    before, after = held[quarter : 2 * quarter] or held[:1], held[-quarter:] or held[-1:]
    middle, end = statistics.median(before) / 1e6, statistics.median(after) / 1e6
    soak.check(
        end <= GROWTH * middle, f"the process holds {middle:.0f} MB in the second quarter, {end:.0f} in the last"
    )


@contextmanager
def served(soak: Soak, models: ModelChoice, options: list[str], checkout: Path | None) -> Any:
    """A server that may be killed within; its process."""
    try:
        with own_server(models, options=[*POOL, *options], checkout=checkout) as (soak.url, pid):
            yield psutil.Process(pid)
    finally:
        soak.url = ""


def questions_for(url: str) -> list[Question]:
    """Prompts so long that five answers fill the pool."""
    blocks = httpx2.get(f"{url}/v1/models/memory", trust_env=False).json()["blocks"]
    room = blocks["total"] // ANSWERS * blocks["tokens"]
    sys.stdout.write(f"a pool of {blocks['total']} blocks of {blocks['tokens']} tokens: {room} for each of {ANSWERS}\n")
    return [Question.of(number, min(room, CONTEXT) - ANSWER_TOKENS - 1) for number in range(QUESTIONS)]


def soaked(clients: int, requests: int, options: list[str], checkout: Path | None = None) -> Soak:
    """The whole: half the requests, an end by a signal that can be caught, the other half, and one that cannot."""
    soak = Soak()
    with tempfile.TemporaryDirectory(prefix="lookahead-soak-") as scratch:
        folder = save_folder(tiny_llama(0, hidden=HIDDEN), Path(scratch) / "target")
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": CONTEXT}))
        for at, number in enumerate((signal.SIGTERM, signal.SIGKILL)):
            with served(soak, ModelChoice(folder, folder), options, checkout) as process:
                soak.questions = soak.questions or questions_for(soak.url)
                asyncio.run(ask_alone(soak))
                began = time.monotonic()
                held = asyncio.run(crowd(soak, clients, requests // 2, at, lambda p=process: p.memory_info().rss))
                sys.stdout.write(f"{requests // 2} requests of {clients} clients in {time.monotonic() - began:.0f} s\n")
                asyncio.run(check_nothing_is_left(soak))
                check_memory(soak, held)
                kill = lambda p=process, n=number: p.send_signal(n)  # noqa: E731
                asyncio.run(check_all_are_told(soak, clients, kill, number.name))
    soak.check(not soak.counts["failed"] and not soak.counts["other words"], f"answers: {dict(soak.counts)}")
    return soak


def main() -> int:
    """Exit code 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--serve-options", default="", help="more for `mlx-spec serve`")
    parser.add_argument("--checkout", type=Path, help="serve that folder's code")
    given = parser.parse_args()
    soak = soaked(given.clients, given.requests, shlex.split(given.serve_options), given.checkout)
    for fault in soak.faults[:20]:
        sys.stdout.write(f"fault: {fault}\n")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
