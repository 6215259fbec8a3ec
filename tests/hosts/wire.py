"""`python -m tests.hosts.wire`: what speculation brings on a target that is split, by how long the way is.

The starter over 2 and 4 ranks as a pipeline and over 3 as tensors, in network namespaces, with 0, 0.3 and 5 ms from one
machine to the next: plain and speculative answers in turns on one server, tokens a second, and the medians of the
ratios; and how long drafts were, what part of a pass the wire was, and what a token took of all ranks' processors and
of all cables. `--exactness strict` and `fast` beside each other tell the price of sums in a fixed order. Needs root,
`ip` and TUN. Run it while nothing else runs; it takes some ten minutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from mlx_spec.machine.resources import data_folder
from mlx_spec.models.named import folder_of
from mlx_spec.models.splitting.split import Exactness
from mlx_spec.models.splitting.ways import ways_of
from mlx_spec.models.starter import ensure_starter_target
from tests.hosts.namespaces import Namespaces, can_make_namespaces
from tests.hosts.served import group_state, ranks_below, say, serving, whole

PROMPTS = (
    "Explain why the sky is blue.",
    "Write a short story about a lighthouse keeper.",
    "List the planets of the solar system, and say something about each.",
    "How do I bake bread at home? Give me the steps.",
    "What is the difference between a virus and a bacterium?",
    "Write a Python function that reverses a list, and explain it.",
)
CALIBRATES_S = 1800.0
"""A pass of three ranks waits 242 times for a message, and some hundred are measured."""
SPLITS = {2: "pipeline", 3: "tensor", 4: "pipeline"}


@dataclass(frozen=True)
class Answer:
    """Its words, and how fast they came once they had begun; how many tokens were drafted a round, and what share of
    the passes' time the wire is reckoned to be. `cpu_ms` and `sent_bytes` are all ranks' and cables' for a token."""

    text: str
    tokens_a_second: float
    tokens_a_round: float
    drafted_a_round: float
    wire_share: float
    cpu_ms: float = 0.0
    sent_bytes: float = 0.0


@dataclass(frozen=True)
class Ranks:
    """The server's processes, and the cables between them."""

    process: subprocess.Popen[str]
    url: str
    cables: Sequence[str]

    def spent(self) -> tuple[float, int]:
        """Seconds of processors, and bytes, since they began."""
        every = [one for kind in ranks_below(self.process.pid).values() for one in kind]
        seconds = sum(sum(one.cpu_times()[:2]) for one in every)
        counters = psutil.net_io_counters(pernic=True)
        return seconds, sum(counters[name].bytes_sent + counters[name].bytes_recv for name in self.cables)

    def ask(self, prompt: str, drafter: str, tokens: int) -> Answer:
        """One answer at temperature 0, whose prompt counts as one more token."""
        before, sent_before = self.spent()
        answer, count = ask(self.url, prompt, drafter, tokens)
        after, sent_after = self.spent()
        cpu_ms, sent = 1e3 * (after - before) / count, (sent_after - sent_before) / count
        return replace(answer, cpu_ms=cpu_ms, sent_bytes=sent)


def ask(url: str, prompt: str, drafter: str, tokens: int) -> tuple[Answer, int]:
    """One answer at temperature 0, and its number of tokens."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0}
    body |= {"stream": True, "speculation": {"drafter": drafter, "events": True}}
    text, rounds, told_rounds = "", [], []
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=600) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise SystemExit(chunk["error"]["message"])
            if chunk["choices"]:
                text += chunk["choices"][0]["delta"].get("content") or ""
            told = chunk.get("speculation") or {}
            if told.get("type") == "round":
                rounds.append((time.perf_counter(), len(told["emitted"])))
                told_rounds.append(told)
    # The first round's tokens are there when the clock starts.
    count = sum(emitted for _, emitted in rounds[1:])
    every = count + rounds[0][1]
    drafted = statistics.fmean(len(one["drafted"]) for one in told_rounds)
    wire = sum(one["wire_ms"] for one in told_rounds) / sum(one["verify_ms"] for one in told_rounds)
    speed = count / (rounds[-1][0] - rounds[0][0])
    return Answer(text, speed, every / len(rounds), drafted, wire), every


def measured(ranks: Ranks, drafter: str, prompts: Sequence[str], tokens: int) -> str:
    """A line: plain, speculative, their ratio, and how many of the answers have the same words."""
    for one in (drafter, "none"):  # what is learnt, and compiled, with the first answers
        ranks.ask(prompts[0], one, tokens)
    pairs = []
    for number, prompt in enumerate(prompts):
        order = ("none", drafter) if number % 2 else (drafter, "none")
        answers = {one: ranks.ask(prompt, one, tokens) for one in order}
        pairs.append((answers["none"], answers[drafter]))
    plain = statistics.median(one.tokens_a_second for one, _ in pairs)
    ours = statistics.median(one.tokens_a_second for _, one in pairs)
    ratios = sorted(two.tokens_a_second / one.tokens_a_second for one, two in pairs)
    rounds = statistics.fmean(one.tokens_a_round for _, one in pairs)
    drafted = statistics.fmean(one.drafted_a_round for _, one in pairs)
    same = sum(one.text == two.text for one, two in pairs)
    both = list(zip(*pairs, strict=True))
    cpu, sent, wire = (
        "/".join(f"{scale * statistics.fmean(getattr(one, name) for one in side):.{digits}f}" for side in both)
        for name, scale, digits in (("cpu_ms", 1, 0), ("sent_bytes", 1e-3, 0), ("wire_share", 100, 0))
    )
    return (
        f"{drafter:8} {plain:7.2f} {ours:7.2f}   {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        f"   {rounds:5.2f} of {drafted:4.1f}   {same} of {len(pairs)}   {cpu:>9} {sent:>9} {wire:>6}"
    )


def counts(ranks: int, exactness: Exactness) -> str:
    """What a pass makes of collectives, told before any is made."""
    ways = ways_of(folder_of("starter"), ranks)
    found = ways.pipeline if SPLITS.get(ranks) == "pipeline" else ways.of("tensor", exactness)
    wire = found.wire
    return (
        f"{ranks} ranks, {found.way}: a pass makes {wire.collectives} collectives on rank 0, waits {wire.hops} times"
        f" for a message, and sends {wire.bytes_per_row:,} bytes a row from a rank to the next"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ranks", default="2,3,4")
    parser.add_argument("--delays", default="0,0.3,5", help="milliseconds from one machine to the next")
    parser.add_argument("--drafters", default="eagle,auto")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--exactness", default="auto")
    parser.add_argument("--tree", help="As serve's own; left out, what serve takes for a group.")
    wanted = parser.parse_args(arguments)
    if not can_make_namespaces():
        raise SystemExit("Namespaces need root, ip and TUN.")
    ensure_starter_target()
    say("plain and ours: tokens a second; a round: tokens it made of those it drafted; held: MB of each rank;")
    say(
        "plain/ours: CPU ms of all ranks a token, kB on all cables a token, % of a pass that the wire is reckoned to be"
    )
    head = "ranks  way       one way ms  drafter    plain    ours   times (range)         a round        same words"
    say(f"{head}    CPU ms       kB wire %   held")
    for ranks in map(int, wanted.ranks.split(",")):
        say(counts(ranks, "fast" if wanted.exactness == "fast" else "strict"))
        for delay_ms in map(float, wanted.delays.split(",")):
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                spaces = stack.enter_context(Namespaces(ranks, delay_ms))
                # What was measured with another delay must not serve here.
                home = folder / "home"
                home.mkdir()
                os.symlink(data_folder() / "models", home / "models")
                options = ["--split", SPLITS.get(ranks, "auto"), "--exactness", wanted.exactness]
                options += ["--tree", wanted.tree] if wanted.tree else []
                here = {"LOOKAHEAD_HOME": str(home)}
                process, url = stack.enter_context(serving(options, ranks, folder, spaces, here))
                whole(process, url, limit_s=CALIBRATES_S)
                server = Ranks(process, url, [f"{name}a" for name in spaces.names])
                for drafter in wanted.drafters.split(","):
                    line = measured(server, drafter, PROMPTS[: wanted.prompts], wanted.tokens)
                    held = "/".join(f"{(one['held_bytes'] or 0) / 1e6:.0f}" for one in group_state(url)["ranks"])
                    say(f"{ranks:5}  {SPLITS.get(ranks, 'auto'):9} {delay_ms:10g}  {line}   {held}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
