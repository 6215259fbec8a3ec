"""A follower that runs for another machine's leader: the offering side starts it, and ends it with the connection."""

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Final

from mlx_spec.hosts.finding.sealed import ChannelError, SecureChannel
from mlx_spec.machine.parent import PARENT_VARIABLE
from mlx_spec.machine.program import own_command

FOLLOWER_COMMAND: Final = ("hosts", "follow")
"""What a leader may have run, and nothing else; what comes behind these words are its options."""
FOLLOWER_VARIABLES: Final = "MLX_"
"""How the names of the variables begin that it may set."""
_LEASH_S: Final = 0.5
"""So long the end of its input may take to end it, which kills a follower at once: it had its time to end in order
before."""


def work(channel: SecureChannel, question: dict[str, Any], tell: Callable[[str, str], None]) -> None:
    """Run the follower that `question` asks for until it ends, or the leader hangs up; it does not outlive either.

    `{"arguments": […], "environment": {…}}` says how. Each line of it goes to the leader as `{"line": …}`, at last
    `{"ended": CODE}`; `{"input": TEXT}` from there goes to it, and `{"stop": true}` ends it. `tell(kind, sentence)`
    shows it.
    """
    leader = channel.session.name
    if (problem := _problem_of(question)) is not None:
        channel.tell({"problem": problem})
        tell("failed", f"{leader} asked for something else than a follower, and got nothing.")
        return
    tell("working", f"{leader} uses this machine now.")
    environment = os.environ | question.get("environment", {}) | {PARENT_VARIABLE: str(os.getpid())}
    process = subprocess.Popen(
        own_command(*question["arguments"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    listening = threading.Thread(target=_listen, args=(channel, process), name="follower", daemon=True)
    listening.start()
    assert process.stdout is not None
    try:
        channel.tell({"started": True})
        for line in process.stdout:
            channel.tell({"line": line.rstrip("\n")})
        channel.tell({"ended": process.wait()})
    except ChannelError:
        pass
    finally:
        channel.close()
        listening.join()  # which ends the follower, and alone has its input
        process.stdout.close()
        tell("idle", f"{leader} uses this machine no longer.")


def end(process: "subprocess.Popen[str]") -> None:
    """End it and all that it has started: by the end of its input, which is a follower's leash, and where that does not
    help by the system. It is gone then."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEASH_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left of it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _listen(channel: SecureChannel, process: "subprocess.Popen[str]") -> None:
    """What the leader says goes to the follower; its end is the follower's."""
    assert process.stdin is not None
    end_of_input = process.stdin.fileno()
    # One who does not read would else hold this thread, and nobody would end him.
    os.set_blocking(end_of_input, False)
    try:
        while "stop" not in (heard := channel.hear()):
            if isinstance(text := heard.get("input"), str):
                _feed(end_of_input, text.encode())
    except (ChannelError, OSError):
        pass
    finally:
        end(process)


def _feed(pipe: int, data: bytes) -> None:
    """Raises OSError where he who should read does not."""
    rest = memoryview(data)
    while rest:
        if not select.select([], [pipe], [], _LEASH_S)[1]:
            raise TimeoutError
        rest = rest[os.write(pipe, rest) :]


def _problem_of(question: dict[str, Any]) -> str | None:
    """Why this is nothing that may be run here; None where it is."""
    arguments, environment = question.get("arguments"), question.get("environment", {})
    if not isinstance(arguments, list) or not all(isinstance(one, str) and "\0" not in one for one in arguments):
        return "a follower's arguments are a list of texts"
    if tuple(arguments[: len(FOLLOWER_COMMAND)]) != FOLLOWER_COMMAND:
        return "only a follower may be started, no other command"
    if not isinstance(environment, dict) or not all(
        isinstance(one, str) for pair in environment.items() for one in pair
    ):
        return "a follower's environment is an object of texts"
    if foreign := [name for name in environment if not name.startswith(FOLLOWER_VARIABLES)]:
        return f"the variable {foreign[0]!r} may not be set from another machine"
    return None
