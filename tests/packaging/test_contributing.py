"""CONTRIBUTING.md says where new things go: each of its examples is put there, and works."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mlx_lm.models.cache import KVCache
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.look.theme import DARK, LIGHT
from app.speculation import TraceViewModel
from app.speculation.views import TracePanel
from app.store import Answer
from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.cli import main as cli
from mlx_spec.config import DRAFTERS
from mlx_spec.decoding.cache.rollback import POLICIES
from mlx_spec.decoding.drafters.making import MAKERS
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.events import GenerationFinished, RoundFinished
from tests.app.speculation.rounds import make_round
from tests.app.test_translation import untranslated
from tests.cli.calling import mlx_spec
from tests.cli.folders import pair_folders
from tests.tiny import byte_tokenizer, pair_of, tiny_llama, tiny_pair

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
PLACES = re.findall(
    r"`((?:app|docs|mlx_spec|packaging|prompt_files|resources|tests|findings|\.ci|\.github)/[^`]*)`", GUIDE
)
PROMPT = [5, 6, 6, 6, 6, 6]
PARAMS = SamplingParams(temperature=0.7, seed=3)


def example(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as the module that its path makes it; the folder it goes to must be there."""
    assert (ROOT / path).parent.is_dir()
    assert not (ROOT / path).exists(), "an example must not look like a file of ours"
    name = path.removesuffix(".py").replace("/", ".")
    package = importlib.import_module(name.rpartition(".")[0])
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(package, name.rpartition(".")[2], module, raising=False)
    exec(compile(EXAMPLES[path], path, "exec"), module.__dict__)
    return module


def test_every_place_that_it_names_is_there() -> None:
    assert len(PLACES) > 20
    assert [place for place in PLACES if not list(ROOT.glob(place))] == []


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_keeps_the_rules_it_is_to_teach(path: str) -> None:
    source = f"# {path}\n{EXAMPLES[path]}"
    for rules in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *rules, "--stdin-filename", path, "-"]
        done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert untranslated(source) == [] or not path.startswith("app/")


def words(decoder: SpeculativeDecoder) -> tuple[int, ...]:
    return next(
        event.token_ids for event in decoder.stream(PROMPT, PARAMS, 24) if isinstance(event, GenerationFinished)
    )


def test_a_drafter(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = example("mlx_spec/decoding/drafters/echo.py", monkeypatch)
    monkeypatch.setitem(MAKERS, "echo", lambda pair, draw: echo.EchoDrafter())
    monkeypatch.setattr("mlx_spec.decoding.admission.DRAFTERS", (*DRAFTERS, "echo"))
    pair, fixed = tiny_pair(0), SpeculativeConfig(lookahead=3, adaptive_lookahead=False)
    drafted = SpeculativeDecoder(pair, fixed, drafter="echo")  # type: ignore[arg-type]
    rounds = [event for event in drafted.stream(PROMPT, PARAMS, 24) if isinstance(event, RoundFinished)]
    assert [token.token_id for token in rounds[0].drafted] == [PROMPT[-1]] * 3
    assert words(drafted) == words(SpeculativeDecoder(pair, drafter="none"))


class CountedKVCache(KVCache):
    """A kind that no policy is for."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def update_and_fetch(self, keys: object, values: object) -> object:
        self.passes += 1
        return super().update_and_fetch(keys, values)


def test_a_cache_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    target = tiny_llama(0)
    target.make_cache = lambda: [CountedKVCache() for _ in target.layers]
    pair = pair_of(target, tiny_pair(0).draft)
    plain = words(SpeculativeDecoder(pair_of(tiny_llama(0), None), drafter="none"))
    with pytest.raises(UnsupportedModelError, match="CountedKVCache"):
        SpeculativeDecoder(pair, drafter="model")
    counted = example("mlx_spec/decoding/cache/counted.py", monkeypatch)
    monkeypatch.setitem(POLICIES, CountedKVCache, counted.Counted)
    fixed = SpeculativeConfig(lookahead=3, adaptive_lookahead=False)
    assert words(SpeculativeDecoder(pair, fixed, drafter="model")) == plain


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny target's folder."""
    return pair_folders(tmp_path_factory.mktemp("models"))[0]


class TestACommand:
    PATH = "mlx_spec/cli/commands/tokens.py"

    @pytest.fixture(autouse=True)
    def mounted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`mlx-spec` from a `main.py` with the name in its tuple, and the import above."""
        example(self.PATH, monkeypatch)
        source = Path(cli.__file__).read_text()
        for place, words in (
            ("from mlx_spec.cli.later import later\n", "from mlx_spec.cli.commands.tokens import tokens\n"),
            ("run, doctor", ", tokens"),
        ):
            assert source.count(place) == 1
            source = source.replace(place, place + words)
        main = ModuleType("mlx_spec.cli.main_with_tokens")
        exec(compile(source, cli.__file__, "exec"), main.__dict__)
        monkeypatch.setattr("tests.cli.calling.cli", main)

    def test_the_front_page_names_it_and_it_has_a_page_of_its_own(self) -> None:
        assert " tokens " in mlx_spec("--help").stdout
        own = mlx_spec("tokens", "--help")
        assert own.returncode == 0
        assert "Tell how many tokens" in own.stdout
        assert all(option in own.stdout for option in ("--target", "--json"))

    def test_it_counts(self, target: str) -> None:
        text = "Größe, 5 €"
        expected = len(byte_tokenizer().encode(text))
        assert mlx_spec("tokens", text, "--target", target).stdout == f"{expected} tokens\n"
        assert json.loads(mlx_spec("tokens", text, "--target", target, "--json").stdout) == {"num_tokens": expected}

    @pytest.mark.parametrize(
        ("text", "folder", "message"),
        [("hi", "/nowhere/target", "There is no model folder /nowhere/target"), ("h\udce9", "", "not UTF-8 text")],
    )
    def test_what_is_wrong_is_one_line_and_exit_code_2(self, target: str, text: str, folder: str, message: str) -> None:
        done = mlx_spec("tokens", text, "--target", folder or target)
        assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (2, "", 1)
        assert message in done.stderr

    def test_importing_it_imports_nothing_slow(self, tmp_path: Path) -> None:
        file = tmp_path / "tokens.py"
        file.write_text(EXAMPLES[self.PATH])
        code = (
            f"import runpy, sys; assert runpy.run_path({str(file)!r})['tokens']; "
            "print(sorted({'mlx', 'mlx_lm', 'transformers', 'numpy', 'rich', 'huggingface_hub'} & sys.modules.keys()))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


@pytest.mark.gui
@pytest.mark.qt_log_ignore("does not support propagateSizeHints", extend=True)
def test_a_page_of_the_panel(monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> None:
    longest = example("app/speculation/views/longest.py", monkeypatch)
    trace = TraceViewModel()
    panel, page = TracePanel(trace, LIGHT), longest.LongestRun(trace, LIGHT)
    panel.add_page("Longest", page)
    qtbot.addWidget(panel)
    panel.show()
    trace.show(Answer(seed=1, state="streaming"))
    panel.switch.choose(3)
    assert not page.isVisible(), "an answer without rounds has none to show"
    for num_accepted, so_far in ((1, "1"), (3, "3"), (2, "3")):
        trace.add(make_round(len(trace.rounds), num_accepted, 4))
        qtbot.waitUntil(lambda so_far=so_far: page.isVisible() and page.figure.text() == so_far, timeout=2_000)
    for palette in (LIGHT, DARK):
        panel.apply_palette(palette)
        page.figure.ensurePolished()
        assert page.figure.palette().windowText().color() == QColor(palette.accepted)
    trace.show(Answer(seed=1, rounds=[make_round(0, 0, 4)], state="finished"))
    assert page.figure.text() == "0", "another answer has its own"
