"""`python check_agents.py ADDRESS BIN [NAME…]`: coding agents do a small task with `serve_script`. Not part of CI.

BIN is the folder `node_modules/.bin` in which npm installed @openai/codex, opencode-ai and @qwen-code/qwen-code. Each
has a folder and a home of its own; the question brings along what the model calls: a file is written, then read back by
a shell, and what was found is told. Prints a line for each, and ends with code 1 where one fails.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

V1, BIN = f"{sys.argv[1].rstrip('/')}/v1", Path(sys.argv[2]).resolve()
PERMITTED: dict[str, Any] = {"autoupdate": False, "share": "disabled", "permission": "allow"}
Run = tuple[list[str], dict[str, str], str]
"""A command, what its environment has besides, and what it is told by standard input."""


def question(*answers: Any) -> str:
    """The task, with the model's answers to it."""
    return f"Write a greeting into greeting.txt. SCRIPT {json.dumps([*answers, 'The greeting is written.'])} END"


def codex(work: Path, home: Path) -> Run:
    write = ["exec_command", {"cmd": "printf 'hello there' > greeting.txt"}]
    read = ["exec_command", {"cmd": "tr a-z A-Z < greeting.txt > read.txt"}]
    provider = f'model_providers.look={{name="look",base_url="{V1}",wire_api="responses"}}'
    command = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    command += ["-c", provider, "-c", "model_provider=look", "-m", "scripted", question(write, read)]
    return command, {"CODEX_HOME": str(home)}, ""


def opencode(work: Path, home: Path) -> Run:
    provider: dict[str, Any] = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": V1, "apiKey": "none"}}
    provider["models"] = {"scripted": {"name": "scripted"}}
    settings = PERMITTED | {"provider": {"look": provider}, "model": "look/scripted"}
    (work / "opencode.json").write_text(json.dumps(settings))
    write = ["write", {"filePath": str(work / "greeting.txt"), "content": "hello there"}]
    read = ["bash", {"command": "tr a-z A-Z < greeting.txt > read.txt", "description": "Reads it"}]
    return ["opencode", "run"], {}, question(write, read)  # it puts strokes before the quotes of an argument


def qwen(work: Path, home: Path) -> Run:
    write = ["write_file", {"file_path": str(work / "greeting.txt"), "content": "hello there"}]
    read = ["run_shell_command", {"command": "tr a-z A-Z < greeting.txt > read.txt", "is_background": False}]
    about = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": V1, "OPENAI_MODEL": "scripted"}
    return ["qwen", "--auth-type", "openai", "--yolo", "-p", question(write, read)], about, ""


AGENTS: dict[str, Callable[[Path, Path], Run]] = {one.__name__: one for one in (codex, opencode, qwen)}


def check(name: str) -> None:
    """Have an agent do its task. Raises AssertionError."""
    with tempfile.TemporaryDirectory() as folder:
        work, home = Path(folder, "work"), Path(folder, "home")
        work.mkdir()
        home.mkdir()
        command, about, told = AGENTS[name](work, home)
        env = os.environ | {"HOME": str(home), "PWD": str(work)} | about
        ran = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=work,
            env=env,
            input=told,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        written = {file.name: file.read_text() for file in work.glob("*.txt")}
        said = f"{ran.stdout}\n{ran.stderr}"
        assert written == {"greeting.txt": "hello there", "read.txt": "HELLO THERE"}, said
        assert ran.returncode == 0, said
        assert "The greeting is written." in ran.stdout, said


def main() -> int:
    """Those that are named, or all."""
    failed = 0
    for name in sys.argv[3:] or AGENTS:
        try:
            check(name)
            word = "works"
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            word = f"failed: {error}"
        sys.stdout.write(f"{name}: {word}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
