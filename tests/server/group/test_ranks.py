"""`mlx-spec serve --hosts` with real ranks: the words of one machine, and what clients hear when a rank is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.models.loading import load_pair
from tests.cli.folders import save_folder
from tests.server.live import wait_until
from tests.tiny import tiny_llama

HANGS_S = 120
QUESTION = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_folder(tiny_llama(3), tmp_path_factory.mktemp("model") / "target")


@pytest.fixture
def server(target: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    options = ["--hosts", "127.0.0.1,127.0.0.1", "--target", target, "--drafter", "none", "--port", "0"]
    command = [sys.executable, "-m", "mlx_spec.cli", "serve", *options]
    # With MLX's own BLAS, so that words are equal whatever the widths that the group measures first.
    given = os.environ | {"LOOKAHEAD_BLAS": "off"}
    given.pop("LD_PRELOAD", None)
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def ranks_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The leader first."""
    found = [one for one in psutil.Process(process.pid).children() if "mlx_spec.cli" in one.cmdline()]
    return sorted(found, key=lambda one: "follow" in one.cmdline())


def test_the_words_of_one_machine_and_an_error_with_a_name_when_a_rank_is_gone(
    server: tuple[subprocess.Popen[str], str], target: str
) -> None:
    process, url = server
    assert wait_until(lambda: group_of(url)["stage"] == "ready", HANGS_S)
    state = group_of(url)
    assert [(one["rank"], one["stage"], round(one["share"]["part"], 2) < 1) for one in state["ranks"]] == [
        (0, "ready", True),
        (1, "ready", True),
    ]
    body = {"messages": QUESTION, "max_tokens": 12, "temperature": 0}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=HANGS_S).json()
    pair = load_pair(target)
    params = SamplingParams(temperature=0)
    alone = SpeculativeDecoder(pair, drafter="none").generate("hello", params, max_tokens=12)
    assert answer["choices"][0]["message"]["content"] == alone

    leader, follower = ranks_of(process)
    body |= {"stream": True, "max_tokens": 250, "logit_bias": {"258": -100}}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=HANGS_S) as streamed:
        lines = (line for line in streamed.iter_lines() if line.startswith("data: "))
        next(lines)
        follower.send_signal(signal.SIGKILL)
        *_, last = lines
    assert "127.0.0.1 (rank 1)" in last
    assert "server_error" in last
    refused = httpx.post(f"{url}/v1/messages", json=body, timeout=HANGS_S)
    assert refused.status_code == 503
    assert "127.0.0.1 (rank 1)" in refused.json()["error"]["message"]
    health = httpx.get(f"{url}/health", timeout=HANGS_S).json()
    assert (health["status"], "forming again" in health["message"] or "rank 1" in health["message"]) == (
        "loading",
        True,
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(HANGS_S) == 0
    assert not psutil.pid_exists(leader.pid)
    assert "Traceback" not in (process.stderr.read() if process.stderr else "")


def group_of(url: str) -> dict[str, object]:
    """What /v1/group tells."""
    # It is asked often: certificates, which nobody shows here, would be read each time.
    told: dict[str, object] = httpx.get(f"{url}/v1/group", timeout=HANGS_S, verify=False).json()
    return told
