"""`python -m tests.server.kills [--kills 30] [--seed 1]`: a real server over a tiny model is killed (SIGKILL) at random
moments while it writes what it has read to the disk, and is started again each time. The exit code says whether all
went well.

Outside CI: a start takes seconds. Every answer must have the words of a server that keeps nothing, no file may be
damaged, and what was written whole must be found by the next process. With `--processes 2` as many servers share the
folder, and are killed one after the other.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.cli.folders import save_folder
from tests.hosts.served import say
from tests.tiny import tiny_llama

CHATS = 4
TURNS = 3
CONTEXT = 4096
READY_S = 300.0
WRITES_S = 3.0
Known = dict[tuple[int, int], str]
"""What the model says, by chat and turn."""


class Server:
    """A server of its own process, which writes its log to a file."""

    def __init__(self, model: str, home: Path, log: IO[str], options: Sequence[str]) -> None:
        command = [sys.executable, "-m", "mlx_spec.cli", "serve", "--target", model, "--draft", "none", "--port", "0"]
        environment = dict(os.environ, LOOKAHEAD_HOME=str(home))
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        if not line:
            raise SystemExit("The server did not start.")
        self.url = line[-1]

    def wait(self) -> None:
        """Until it answers."""
        begun = time.monotonic()
        while httpx.get(f"{self.url}/health", timeout=READY_S).json()["status"] != "ready":
            if self.process.poll() is not None or time.monotonic() - begun > READY_S:
                raise SystemExit("The server did not load its models.")
            time.sleep(0.05)

    def say(self, chat: int, turn: int, known: Known) -> tuple[str, int]:
        """Turn `turn` of a chat: its words, and how many tokens of its prompt were found. `known`: earlier answers."""
        messages = [{"role": "user", "content": question(chat, 0)}]
        for at in range(turn):
            messages.append({"role": "assistant", "content": known[chat, at]})
            messages.append({"role": "user", "content": question(chat, at + 1)})
        body = {"messages": messages, "max_tokens": 24, "seed": 7, "temperature": 0.7, "prompt_cache_key": f"c{chat}"}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=READY_S).json()
        found: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        return str(answer["choices"][0]["message"]["content"]), found

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()


def question(chat: int, turn: int) -> str:
    """Long in the first turn, so that there is something to write; unlike that of any other chat."""
    chance = random.Random(100 * chat + turn)
    words = ["harbour", "lamp", "river", "stone", "copper", "window", "letter", "north"]
    return f"{chat}: " + " ".join(chance.choice(words) for _ in range(4 if turn else 120))


def folder_of(home: Path) -> Path:
    """What is written."""
    return home / "prefixes"


def damaged(log: Path) -> list[str]:
    """What the servers said about their files."""
    return [line for line in log.read_text().splitlines() if "damaged" in line or "cannot be" in line]


@contextmanager
def places(seed: int) -> Iterator[tuple[str, Path]]:
    """A model's folder, and a home."""
    with tempfile.TemporaryDirectory() as folder:
        yield save_folder(tiny_llama(seed), Path(folder) / "model", context=CONTEXT), Path(folder) / "home"


def truth(model: str, home: Path, log: IO[str]) -> Known:
    """What a server says that keeps nothing."""
    known: Known = {}
    server = Server(model, home, log, ["--prefix-memory", "0"])
    server.wait()
    for chat in range(CHATS):
        for turn in range(TURNS):
            known[chat, turn], _ = server.say(chat, turn, known)
    server.kill()
    return known


def one_life(servers: Sequence[Server], folder: Path, chance: random.Random, known: Known) -> tuple[int, int]:
    """Ask some turns, and kill each server in the middle of what it writes. How many prompts were found, of how many;
    raises SystemExit at a wrong word."""
    found = asked = 0
    for server in servers:
        server.wait()
        for _ in range(chance.randrange(1, 4)):
            chat, turn = chance.randrange(CHATS), chance.randrange(TURNS)
            said, cached = server.say(chat, turn, known)
            asked, found = asked + 1, found + (cached > 0)
            if said != known[chat, turn]:
                raise SystemExit(f"Chat {chat}, turn {turn}: {said!r} in the place of {known[chat, turn]!r}.")
    for server in servers:
        _wait_for_a_moment(folder, chance)
        server.kill()
    return found, asked


def _wait_for_a_moment(folder: Path, chance: random.Random) -> None:
    """Mostly one in the middle of what is written: it begins a quarter of a second behind an answer."""
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0.0, 0.3))
        return
    before, begun = set(folder.rglob("*")), time.monotonic()
    while time.monotonic() - begun < WRITES_S and set(folder.rglob("*")) == before:
        time.sleep(0.0005)
    time.sleep(chance.uniform(0.0, 0.05))


def main() -> None:
    """Kill as often as was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    asked_for = parser.parse_args()
    chance = random.Random(asked_for.seed)
    found = asked = half = 0
    with places(asked_for.seed) as (model, home), ExitStack() as stack:
        log_path = home.parent / "log"
        log = stack.enter_context(log_path.open("w"))
        known = truth(model, home, log)
        shutil.rmtree(folder_of(home), ignore_errors=True)
        for life in range(asked_for.kills):
            servers = [Server(model, home, log, ["--prefix-disk", "40"]) for _ in range(asked_for.processes)]
            for server in servers:
                stack.callback(server.kill)
            some = one_life(servers, folder_of(home), chance, known)
            found, asked = found + some[0], asked + some[1]
            half += len(list(folder_of(home).rglob("*.part")))
            files = len(list(folder_of(home).rglob("*.safetensors")))
            say(f"life {life + 1}: {some[0]} of {some[1]} prompts found, {files} blocks on the disk")
            if told := damaged(log_path):
                raise SystemExit("\n".join(told))
    say(f"{asked_for.kills} kills: {asked} answers right, {found} of them began with what was read earlier;")
    say(f"{half} half written files were left over, none was believed.")
    if not found:
        raise SystemExit("Nothing was ever found again.")


if __name__ == "__main__":
    main()
