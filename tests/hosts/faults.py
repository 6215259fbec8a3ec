"""`python -m tests.hosts.faults [--faults 30] [--ranks 2] [--seed 1]`: real ranks over a tiny model, killed, stopped
and cut off at random while answers are written. Prints a table; the exit code says whether all went well.

Outside CI: it takes minutes. Each answer must end with its words or an error, none may hang, and the group must be
whole again each time. Cuts need root: then the followers live in network namespaces of their own, and `ssh` is a script
that enters them. Without, there are kills and stops alone.
"""

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.cli.folders import save_folder
from tests.hosts.namespaces import Namespaces, can_make_namespaces
from tests.hosts.served import FORMS_S, ranks_below, say, serving, whole
from tests.tiny import tiny_llama

FAULTS = ("kill", "stop", "kill leader", "stop leader", "cut")
LONGEST_S = 10.0


@dataclass
class Client:
    """Asks for one long answer after the other, and notes how each ended."""

    url: str
    ended: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    last_s: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Until `over`."""
        while not self.over.is_set():
            self.ended.append(self._ask())
            self.last_s = time.monotonic()
            if self.ended[-1] in ("503", "refused"):
                time.sleep(0.3)

    def _ask(self) -> str:
        body = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 120}
        body |= {"logit_bias": {"258": -100}, "seed": len(self.ended), "temperature": 1}
        said = ""
        try:
            with httpx.stream("POST", f"{self.url}/v1/chat/completions", json=body, timeout=FORMS_S) as answer:
                if answer.status_code != 200:
                    return str(answer.status_code)
                for line in answer.iter_lines():
                    if line.startswith("data: [DONE]"):
                        return "words" if said else "nothing"
                    if line.startswith("data: {"):
                        chunk = json.loads(line[6:])
                        if "error" in chunk:
                            return "error" if "rank" in chunk["error"]["message"] else f"error: {chunk['error']}"
                        said += chunk["choices"][0]["delta"].get("content") or "" if chunk["choices"] else ""
            return "cut short"  # without an error: not allowed
        except httpx.ConnectError:
            return "refused"
        except httpx.TransportError as error:
            return f"broken ({type(error).__name__})"  # without an error: not allowed, whoever was gone


def do(fault: str, process: subprocess.Popen[str], chosen: random.Random, spaces: Namespaces | None) -> str:
    """Do it; what was done."""
    kind = "leader" if "leader" in fault else "follower"
    found = ranks_below(process.pid)[kind]
    if fault == "cut":
        assert spaces is not None
        return f"cut {spaces.cut(chosen)}"
    one = chosen.choice(found)
    one.send_signal(signal.SIGKILL if "kill" in fault else signal.SIGSTOP)
    return f"{fault} ({one.pid})"


@dataclass
class Trial:
    """One server, its clients, and what became of them."""

    process: subprocess.Popen[str]
    url: str
    spaces: Namespaces | None
    chosen: random.Random
    clients: list[Client]
    ended_s: list[float] = field(default_factory=list)
    formed_s: list[float] = field(default_factory=list)
    num_hanging: int = 0

    def fault(self, number: int) -> None:
        """One of them, and its line of the table."""
        kinds = FAULTS if self.spaces is not None else FAULTS[:-1]
        fault = kinds[number % len(kinds)] if number <= len(kinds) else self.chosen.choice(kinds)
        before = [len(one.ended) for one in self.clients]
        begun = time.monotonic()
        what = do(fault, self.process, self.chosen, self.spaces)
        while any(len(one.ended) == count for one, count in zip(self.clients, before, strict=True)):
            if time.monotonic() - begun > FORMS_S:
                self.num_hanging += 1
                break
            time.sleep(0.05)
        self.ended_s.append(time.monotonic() - begun)
        if self.spaces is not None:
            self.spaces.mend()
        self.formed_s.append(whole(self.process, self.url, number + 1))
        hows = [one.ended[n] for one, n in zip(self.clients, before, strict=True) if len(one.ended) > n]
        told = ", ".join(sorted(set(hows)))
        say(f"{number:3} {what:24} {self.ended_s[-1]:9.1f} {self.formed_s[-1]:9.1f}   {told}")


def main(arguments: Sequence[str] | None = None) -> int:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spaces = stack.enter_context(Namespaces(wanted.ranks)) if can_make_namespaces() else None
        target, draft = (
            save_folder(tiny_llama(0, layers=2 * wanted.ranks), folder / name, context=2048)
            for name in ("target", "draft")
        )
        options = ["--target", target, "--draft", draft, "--split", "pipeline"]
        home = {"LOOKAHEAD_HOME": str(folder / "home"), "OPENBLAS_NUM_THREADS": "1"}
        process, url = stack.enter_context(serving(options, wanted.ranks, folder, spaces, home))
        clients = [Client(url) for _ in range(wanted.clients)]
        trial = Trial(process, url, spaces, random.Random(wanted.seed), clients)
        say(f"whole after {whole(process, url):.0f} s, {'with' if spaces else 'without'} cables to cut")
        say("    what                     ended s  whole s   how the answers under way ended")
        threads = [threading.Thread(target=one.run) for one in clients]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, wanted.faults + 1):
                time.sleep(trial.chosen.uniform(0.3, 1.5))
                trial.fault(number)
        finally:
            for one in clients:
                one.over.set()
        for thread in threads:
            thread.join()
        ranks = [one for found in ranks_below(process.pid).values() for one in found]
    return summed_up(trial, [one.pid for one in ranks if one.is_running() and one.status() != psutil.STATUS_ZOMBIE])


def summed_up(trial: Trial, left: list[int]) -> int:
    """The lines behind the table; the exit code."""
    hows = [how for one in trial.clients for how in one.ended]
    bad = [how for how in hows if how.startswith(("cut short", "nothing", "error:", "broken"))]
    late = sum(one > LONGEST_S for one in trial.ended_s)
    say(f"answers ended after {statistics.median(trial.ended_s):.1f} s (median), {max(trial.ended_s):.1f} s (longest)")
    say(f"whole again {statistics.median(trial.formed_s):.1f} s later (median), {max(trial.formed_s):.1f} s (longest)")
    say(f"all answers: {', '.join(f'{how} {hows.count(how)}' for how in sorted(set(hows)))}")
    say(f"hanging {trial.num_hanging}, later than {LONGEST_S:g} s {late}, as none may {bad}, processes left {left}")
    return int(bool(trial.num_hanging or late or bad or left))


if __name__ == "__main__":
    sys.exit(main())
