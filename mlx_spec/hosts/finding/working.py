"""A follower that runs for another machine's leader: the offering side starts it, and ends it with the connection."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Final

from mlx_spec.hosts.finding.channel import ChannelError, SecureChannel
from mlx_spec.machine.parent import PARENT_VARIABLE
from mlx_spec.machine.program import own_command

FOLLOWER_COMMAND: Final = ("hosts", "follow")
"""What a leader may have run, and nothing else; what comes behind these words are its options."""
FOLLOWER_VARIABLES: Final = ("MLX_", "LOOKAHEAD_FOLLOWER_")
"""The variables that it may set, by how their names begin."""
_LEASH_S: Final = 1.0
_END_S: Final = 3.0


def work(channel: SecureChannel, question: dict[str, Any], tell: Callable[[str, str], None]) -> None:
    """Run the follower that `question` asks for until it ends, or the leader hangs up; it does not outlive either.

    `{"arguments": […], "environment": {…}, "input": TEXT}` says how. Each line of it goes to the leader as
    `{"line": …}`, at last `{"ended": CODE}`; `{"input": TEXT}` from there goes to it. `tell(kind, sentence)` shows it.
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
    channel.tell({"pid": process.pid})
    listening = threading.Thread(target=_listen, args=(channel, process, question), name="follower", daemon=True)
    listening.start()
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        for line in process.stdout:
            channel.tell({"line": line.rstrip("\n")})
        channel.tell({"ended": process.wait()})
    except ChannelError:
        pass
    finally:
        end(process)
        for stream in (process.stdout, process.stdin):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        tell("idle", f"{leader} uses this machine no longer.")


def end(process: "subprocess.Popen[str]") -> None:
    """End it and all that it has started: by the end of its input, which is a follower's leash, and where that does not
    help by signals. It is gone then."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEASH_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)


def _listen(channel: SecureChannel, process: "subprocess.Popen[str]", question: dict[str, Any]) -> None:
    """What the leader says goes to the follower; its end is the follower's."""
    assert process.stdin is not None
    heard = question
    try:
        while "stop" not in heard:
            if isinstance(text := heard.get("input"), str):
                process.stdin.write(text)
                process.stdin.flush()
            heard = channel.hear()
    except (ChannelError, OSError, ValueError):
        pass
    end(process)


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
