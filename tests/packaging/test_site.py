"""The documentation tells the truth: each command is one, each menu entry is there, and the site has every page."""

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml
from starlette.routing import Route

from app.main import main as lookahead
from mlx_spec.cli.main import app
from mlx_spec.server.api import create_app
from mlx_spec.server.engine.thread import EngineThread
from tests.server.live import KEY, live_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.tiny import tiny_pair

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# The tests' own modules; and in the record of measurements, other people's servers.
NOT_OURS_TO_CHECK = ("python -m tests.", "export LD_PRELOAD=", "mlx_lm.server ", "mlx-dspark ")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:\.venv/bin/)?mlx-spec [a-z][^`]*)`")
MENU = re.compile(r"\*(?:File|Edit|View|Chat|Help) ▸ ([^*]+)\*")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return [text for name, text in FENCE.findall(page.read_text("utf-8")) if name == language]


def commands() -> Iterator[tuple[str, str]]:
    """Each line of each block of shell commands, with its page."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                if line.strip():
                    yield page.name, line.strip()


def parsed(words: list[str], *, whole: bool = True) -> Any:
    """The context of a command line by the real parser, which raises for what it does not know.

    Where it is not `whole`, as in the middle of a sentence, options have no values and arguments are left out.
    """
    command, rest, above = typer.main.get_command(app), words, None
    while hasattr(command, "resolve_command"):
        context = command.make_context("mlx-spec", rest[:1], parent=above) if rest else None
        assert context is not None, f"{words} names no command"
        _, command, _ = command.resolve_command(context, rest[:1])
        rest, above = rest[1:], context
    if whole:
        return command.make_context(words[0], rest, parent=above)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    assert unknown == [], f"{unknown} of {words}"
    return None


def check(line: str, makefile: str) -> None:
    """One line of a block. An assertion, or the parser's own error, for what does not exist."""
    words = shlex.split(line, comments=True)
    program = words[0].rpartition("/")[2]
    if program == "make":
        for word in words[1:]:
            assert "=" in word or re.search(rf"^{word}:", makefile, re.MULTILINE), f"no target {word}"
    elif program == "mlx-spec":
        parsed(words[1:], whole="--help" not in words)
    elif program == "lookahead":
        with pytest.raises(SystemExit) as ended:
            lookahead(words[1:])
        assert ended.value.code == 0
    elif program == "curl":
        assert any(route_matches(word) for word in words if word.startswith("http"))
    elif line.startswith("export LOOKAHEAD_"):
        name = words[1].partition("=")[0]
        assert f"${{{name}" in (ROOT / "packaging" / "release.sh").read_text("utf-8"), f"nobody reads {name}"
    elif words[0].startswith("packaging/"):
        assert (ROOT / words[0]).is_file(), f"no {words[0]}"
    elif words[:3] == ["uv", "tool", "install"]:
        assert words[3] == tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    elif words[:2] == ["python", "packaging/feed.py"]:
        feed_tool().parser().parse_args(words[2:])
    else:
        assert line.startswith(NOT_OURS_TO_CHECK), f"nobody checks: {line}"


def feed_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("feed_tool", ROOT / "packaging" / "feed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def route_matches(address: str) -> bool:
    """Whether our server answers there."""
    path = "/" + address.split("/", 3)[3]
    return any(route.path_regex.match(path) for route in routes())


@cache
def routes() -> list[Route]:
    """All that the server answers to."""
    served: Any = create_app(EngineThread(scripted), model_name="x", api_key=None)
    while not hasattr(served, "routes"):  # wrapped by what guards it
        served = served.app
    return [route for route in served.routes if isinstance(route, Route)]


def scripted(progress: object) -> tuple[ScriptedPair, ScriptedDecoder]:
    """What a server needs to be one."""
    return ScriptedPair(), ScriptedDecoder()


@pytest.mark.parametrize(("page", "line"), list(dict.fromkeys(commands())), ids=lambda value: value[:60])
def test_each_command_is_one(page: str, line: str) -> None:
    check(line, (ROOT / "Makefile").read_text("utf-8"))


# CONTRIBUTING.md shows how a command would be added; its own tests add it.
@pytest.mark.parametrize("page", PAGES[:-1], ids=lambda page: page.name)
def test_commands_in_sentences_are_commands(page: Path) -> None:
    for span in INLINE.findall(page.read_text("utf-8")):
        words = [word for word in re.split(r"[\s=]+", span.partition("mlx-spec ")[2]) if word]
        names = words[: 2 if words[0] in ("models", "train", "hosts") else 1]
        if re.fullmatch(r"[a-z-]+", names[-1]):  # "generate | run | chat" and `generate …` are lists, not commands
            parsed([*names, *(word for word in words[len(names) :] if word.startswith("--"))], whole=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_menu_entries_are_there(page: Path) -> None:
    texts = {
        node.value
        for path in (ROOT / "app" / "window").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [entry for entry in MENU.findall(" ".join(page.read_text("utf-8").split())) if entry not in texts] == []


@pytest.mark.parametrize(
    "line",
    ["mlx-spec generat x", "mlx-spec models pairs --sugest", "mlx-spec serve --port high", "make tets", "lookahaed",
     "curl http://127.0.0.1:8765/v1/modles/x/y", "python packaging/feed.py sign --kye x"],
)  # fmt: skip
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises((AssertionError, SystemExit, Exception)):
        check(line, "test:\n")


class TestPython:
    """The blocks that a reader would paste."""

    def test_the_library(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        (block,) = [text for text in blocks(DOCS / "server.md", "python") if "load_pair" in text]
        assert block == next(text for text in blocks(ROOT / "README.md", "python")).replace("=128", "=32")
        monkeypatch.setattr("mlx_spec.load_pair", lambda name: tiny_pair(0), raising=False)
        exec(compile(block, "server.md", "exec"), {})
        assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1

    def test_the_client(self, capsys: pytest.CaptureFixture[str]) -> None:
        (block,) = [text for text in blocks(DOCS / "server.md", "python") if "openai" in text]
        with live_server(scripted) as live:
            here = block.replace("http://127.0.0.1:8765", live.url).replace('"none"', f'"{KEY}"')
            assert here.count(KEY) == here.count(live.url) == 1
            exec(compile(here, "server.md", "exec"), {})
        assert capsys.readouterr().out.strip()


class TestSite:
    # Tags such as !!python/name are MkDocs' own to resolve; there are none here.
    SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))

    def test_every_page_is_in_the_menu_once(self) -> None:
        named = [page for entry in self.SITE["nav"] for page in _pages(entry)]
        assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))

    def test_make_check_builds_it_strictly(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert "mkdocs build --strict" in makefile.partition("\ncheck:")[2].partition("\n\n")[0]

    def test_a_reader_is_told_to_no_third_party(self) -> None:
        assert self.SITE["theme"]["font"] is False
        assert not {"extra_javascript", "extra_css"} & self.SITE.keys()

    def test_every_picture_is_there(self) -> None:
        shown = [name for page in PAGES for name in re.findall(r"screenshots/([\w-]+\.png)", page.read_text("utf-8"))]
        assert shown
        assert [name for name in shown if not (DOCS / "screenshots" / name).is_file()] == []


def _pages(entry: Any) -> Iterator[str]:
    for value in entry.values():
        if isinstance(value, str):
            yield value
        else:
            for inner in value:
                yield from _pages(inner)
