"""`mlx-spec` out of the app: version, doctor, generate, serve, import."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import Sandbox

QUESTION = "What is the capital of France?"
STARTUP_S = 0.3
_SETTINGS = ("--temperature", "0.8", "--seed", "7", "--max-tokens", "24")


@functools.cache
def plain_answer(box: Sandbox, *arguments: str) -> dict[str, object]:
    """What the checkout says by plain decoding: `generate --json`'s object."""
    home = box.home.parent / "checkout"
    (home / "models").mkdir(parents=True, exist_ok=True)
    for model in (box.bundle / "_internal" / "resources" / "models").iterdir():
        if not (home / "models" / model.name).exists():
            (home / "models" / model.name).symlink_to(model)
            _take_measurements(box, home)
    done = subprocess.run(
        [sys.executable, "-m", "mlx_spec.cli", "generate", *arguments, "--drafter", "none", "--json"],
        cwd=box.root, env=os.environ | {"LOOKAHEAD_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"the checkout does not answer: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def _take_measurements(box: Sandbox, home: Path) -> None:
    """What passes cost on this machine was measured by the app: measuring it once more would tell nothing here."""
    for own in box.home.rglob("Lookahead"):
        for folder in own.iterdir() if own.is_dir() else ():
            if folder.is_dir() and folder.name not in ("models", "prefixes", "logs"):
                shutil.copytree(folder, home / folder.name, dirs_exist_ok=True)


def good(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said that ended well."""
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def versions_are_told_at_once(box: Sandbox) -> str:
    """`lookahead --version` and `mlx-spec --version`: the right one, and quickly. Processor time is judged, which
    another program on this machine does not lengthen."""
    version = tomllib.loads((box.root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    told = []
    for program, words in (("lookahead", f"Lookahead {version}\n"), ("mlx-spec", f"mlx-spec {version}\n")):
        best = wall = 60.0
        for _ in range(5):
            before, began = os.times(), time.monotonic()
            assert good(box.run(program, "--version")) == words
            after = os.times()
            wall = min(wall, time.monotonic() - began)
            best = min(
                best, after.children_user + after.children_system - before.children_user - before.children_system
            )
        told.append(f"{program} {best:.2f} s of a processor, {wall:.2f} s in all")
        if program == "lookahead":
            assert best < STARTUP_S, f"lookahead --version takes {best:.2f} s, {STARTUP_S} are allowed"
    return "; ".join(told)


def the_doctor_finds_everything_inside(box: Sandbox) -> str:
    """Versions, the starter and its draft, and the resources all come from the bundle."""
    found = json.loads(good(box.run("mlx-spec", "doctor", "--json")))
    assert found["ok"], found
    for place in (found["starter_target"]["folder"], found["starter_draft"]["folder"], found["resources"]["path"]):
        assert Path(place).is_relative_to(box.bundle), place
    assert found["starter_target"]["imported"]
    assert all(found["versions"][name] for name in ("mlx_spec", "mlx", "mlx_lm", "pyside6")), found["versions"]
    assert Path(found["data_folder"]["path"]).is_relative_to(box.home), found["data_folder"]
    return str(found["blas"]["what"])


def generate_says_what_the_checkout_says(box: Sandbox) -> str:
    """Token for token, with drafts against without."""
    frozen = json.loads(good(box.run("mlx-spec", "generate", QUESTION, *_SETTINGS, "--json")))
    plain = plain_answer(box, QUESTION, *_SETTINGS)
    assert frozen["token_ids"] == plain["token_ids"], f"{frozen['text']!r} is not {plain['text']!r}"
    return f"{len(frozen['token_ids'])} tokens, {len(frozen['rounds'])} rounds"


def serve_answers_and_ends_when_asked(box: Sandbox) -> str:
    """The server on a free port, a chat as OpenAI's clients ask it, and SIGTERM."""
    process = box.start("mlx-spec", "serve", "--port", "0", stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("Listening on ").strip()
        wait_until(lambda: _get(f"{url}/health").get("status") == "ready", 480, "the server does not get ready")
        body = {
            "messages": [{"role": "user", "content": QUESTION}],
            "temperature": 0.8, "seed": 7, "max_tokens": 24, "repetition_penalty": 1.0,
        }  # fmt: skip
        answer = _get(f"{url}/v1/chat/completions", body)["choices"][0]["message"]["content"]
        plain = plain_answer(box, QUESTION, *_SETTINGS)
        assert answer.strip() == str(plain["text"]).strip(), f"{answer!r} is not {plain['text']!r}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, f"the server ended with {code}"
    return repr(answer[:40])


def tiny_file(box: Sandbox) -> Path:
    """A small GGUF file, at a path with a space and an umlaut."""
    from tests.models.gguf.tiny import tiny_gguf

    file = box.home / "Mödelle" / "tiny model.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    return Path(tiny_gguf().write(file))


def a_gguf_file_is_imported(box: Sandbox) -> str:
    """`models import`, by an odd path."""
    good(box.run("mlx-spec", "models", "import", str(tiny_file(box))))
    imported = list(box.home.rglob("import.json"))
    assert imported, "nothing was imported"
    return imported[0].parent.name


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Look until something holds. Raises AssertionError."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(otherwise)
        time.sleep(0.1)


def _get(url: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:  # /health says 503 while models load
        return dict(json.load(error))
