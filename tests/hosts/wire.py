"""`python -m tests.hosts.wire`: what speculation brings on a target that is split, by how long the way is.

The starter over 2 and 4 ranks as a pipeline and over 3 as tensors, in network namespaces, with 0, 0.3 and 5 ms from one
machine to the next: plain and speculative answers in turns on one server, tokens a second, and the medians of the
ratios. Needs root, `ip` and TUN. Run it while nothing else runs; it takes some ten minutes.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mlx_spec.machine.resources import data_folder
from mlx_spec.models.starter import ensure_starter_target
from tests.hosts.namespaces import Namespaces, can_make_namespaces
from tests.hosts.served import group_state, say, serving, whole

PROMPTS = (
    "Explain why the sky is blue.",
    "Write a short story about a lighthouse keeper.",
    "List the planets of the solar system, and say something about each.",
    "How do I bake bread at home? Give me the steps.",
    "What is the difference between a virus and a bacterium?",
    "Write a Python function that reverses a list, and explain it.",
)
SPLITS = {2: "pipeline", 3: "tensor", 4: "pipeline"}


@dataclass(frozen=True)
class Answer:
    """Its words, and how fast they came once they had begun."""

    text: str
    tokens_a_second: float
    tokens_a_round: float


def ask(url: str, prompt: str, drafter: str, tokens: int) -> Answer:
    """One answer at temperature 0."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0}
    body |= {"stream": True, "speculation": {"drafter": drafter, "events": True}}
    text, rounds = "", []
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
    # The first round's tokens are there when the clock starts.
    count = sum(emitted for _, emitted in rounds[1:])
    return Answer(text, count / (rounds[-1][0] - rounds[0][0]), (count + rounds[0][1]) / len(rounds))


def measured(url: str, drafter: str, prompts: Sequence[str], tokens: int) -> str:
    """A line: plain, speculative, their ratio, and how many of the answers have the same words."""
    for one in (drafter, "none"):  # what is learnt, and compiled, with the first answers
        ask(url, prompts[0], one, tokens)
    pairs = []
    for number, prompt in enumerate(prompts):
        order = ("none", drafter) if number % 2 else (drafter, "none")
        answers = {one: ask(url, prompt, one, tokens) for one in order}
        pairs.append((answers["none"], answers[drafter]))
    plain = statistics.median(one.tokens_a_second for one, _ in pairs)
    ours = statistics.median(one.tokens_a_second for _, one in pairs)
    ratios = sorted(two.tokens_a_second / one.tokens_a_second for one, two in pairs)
    rounds = statistics.fmean(one.tokens_a_round for _, one in pairs)
    same = sum(one.text == two.text for one, two in pairs)
    return (
        f"{drafter:8} {plain:7.1f} {ours:7.1f}   {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        f"   {rounds:5.2f}   {same} of {len(pairs)}"
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
    wanted = parser.parse_args(arguments)
    if not can_make_namespaces():
        raise SystemExit("Namespaces need root, ip and TUN.")
    ensure_starter_target()
    say("plain and ours: tokens a second; held: MB of each rank")
    say("ranks  way       one way ms  drafter    plain    ours   times (range)         a round  same words  held")
    for ranks in map(int, wanted.ranks.split(",")):
        for delay_ms in map(float, wanted.delays.split(",")):
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                spaces = stack.enter_context(Namespaces(ranks, delay_ms))
                # What was measured with another delay must not serve here.
                home = folder / "home"
                home.mkdir()
                os.symlink(data_folder() / "models", home / "models")
                options = ["--split", SPLITS.get(ranks, "auto"), "--exactness", wanted.exactness]
                here = {"LOOKAHEAD_HOME": str(home)}
                process, url = stack.enter_context(serving(options, ranks, folder, spaces, here))
                whole(process, url)
                for drafter in wanted.drafters.split(","):
                    line = measured(url, drafter, PROMPTS[: wanted.prompts], wanted.tokens)
                    held = "/".join(f"{(one['held_bytes'] or 0) / 1e6:.0f}" for one in group_state(url)["ranks"])
                    say(f"{ranks:5}  {SPLITS.get(ranks, 'auto'):9} {delay_ms:10g}  {line}   {held}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
