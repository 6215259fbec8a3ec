"""What people read can be translated: no literal words are handed to a widget without `tr`."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import app

FOLDER = Path(app.__file__).parent
ROOMS = [
    "",
    *sorted(path.name for path in FOLDER.iterdir() if (path / "__init__.py").is_file() and path.name != "scenes"),
]
TERMINAL = {"main.py", "panel_bench.py", "screenshots.py"}
SETTERS = {
    "setText", "setToolTip", "setPlaceholderText", "setAccessibleName", "setAccessibleDescription", "setWindowTitle",
    "setTitle", "setInformativeText", "setStatusTip", "addAction", "addRow", "addItem", "addItems", "addTab", "addMenu",
    "add_page",
}  # fmt: skip
MAKERS = {"QLabel", "QPushButton", "QAction", "QCheckBox", "QRadioButton", "QGroupBox", "QLineEdit", "Segmented",
          "ElidedLabel", "QToolButton"}  # fmt: skip
SAME_EVERYWHERE = {"Lookahead", " – Lookahead", ".md", "hf_…", "GGUF (*.gguf)", "http://big-mac.local:8080",
                   "results.csv", "rounds.json"}  # fmt: skip
NAMED = {"text", "toolTip", "placeholderText", "title"}
DIALOGS = {"getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory", "getText", "about",
           "question", "warning", "information"}  # fmt: skip


def called(node: ast.Call) -> str:
    """The name that is called, without what it belongs to."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def words(node: ast.expr) -> Iterator[str]:
    """The literal words that `node` may come to be, those in `tr` left out. A name of a file or a type has no say."""
    match node:
        case ast.Constant(value=str(text)) if any(letter.isalpha() for letter in text) and text not in SAME_EVERYWHERE:
            yield text
        case ast.JoinedStr(values=values):
            yield from (found for value in values if isinstance(value, ast.Constant) for found in words(value))
        case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
            yield from (*words(one), *words(other))
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            yield from (found for part in parts for found in words(part))


def untranslated(source: str) -> list[str]:
    """Line and words of each literal that a widget is given as it is."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and called(node) in SETTERS | MAKERS | DIALOGS:
            named = [one.value for one in node.keywords if one.arg in NAMED]
            found += [f"{node.lineno}: {text}" for given in (*node.args, *named) for text in words(given)]
    return found


def files_of(room: str) -> list[Path]:
    """The files whose words people read: not those that are begun in a terminal."""
    files = sorted((FOLDER / room).glob("**/*.py" if room else "*.py"))
    assert files
    return [path for path in files if path.name not in TERMINAL]


@pytest.mark.parametrize("room", ROOMS)
def test_no_literal_reaches_a_widget(room: str) -> None:
    told = {path.name: untranslated(path.read_text("utf-8")) for path in files_of(room)}
    assert {name: found for name, found in told.items() if found} == {}


NO_WORDS = {"setProperty", "setObjectName", "warning", "error", "exception", "info", "compile", "connect", "Template"}
TRANSLATED = {"tr", "translate", "QT_TRANSLATE_NOOP"}
WORDS_APART = re.compile(r"[a-zA-Z]{2,} [a-zA-Z]")
NOT_TOLD = re.compile(
    "<span|<b>|HTTP |exit code|Rounds as|MMMM|<file name|Pasted text|(Noto|DejaVu) Sans|SF Mono|Segoe UI|Cascadia Mono|"
    "JetBrains Mono|Noto Color|Lookahead engine|starter draft|mlx-spec models login|a command is under way|"
    # A report is for those who mend the program.
    r"## What happened|## The log|\(there is none\)|\(not installed\)|Lookahead ended without a word"
)
"""Markup, what only a log or a file has, what the model reads; names of fonts, of a draft, of a command."""
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE|ORDER BY|BEGIN IMMEDIATE|PRAGMA)\b")


def sentences(source: str) -> list[str]:
    """Line and words of each literal of more than one word that never meets `tr`: in constants and functions too."""
    tree, above = ast.parse(source), dict[ast.AST, ast.AST]()
    for node in ast.walk(tree):
        above |= dict.fromkeys(ast.iter_child_nodes(node), node)
    found = []
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        is_told = WORDS_APART.search(text) and not NOT_TOLD.search(text) and not SQL.search(text)
        if is_told and not any(_is_settled(one) for one in _chain(node, above)):
            found.append(f"{node.lineno}: {text}")
    return found


def _chain(node: ast.AST, above: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while node in above:
        node = above[node]
        yield node


def _is_settled(node: ast.AST) -> bool:
    """Whether words in it are translated, or nobody's to read: a docstring, an error of the program itself."""
    is_call = isinstance(node, ast.Call) and called(node) in TRANSLATED | NO_WORDS
    return is_call or (isinstance(node, ast.Expr | ast.Raise) and not _holds_call(node))


def _holds_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


@pytest.mark.parametrize("room", ROOMS)
def test_no_sentence_of_a_constant_or_a_function_is_left_out(room: str) -> None:
    told = {path.name: sentences(path.read_text("utf-8")) for path in files_of(room)}
    assert {name: found for name, found in told.items() if found} == {}


def asked_for(source: str) -> Iterator[tuple[str | None, str]]:
    """Context, None for the class that it stands in, and words of each literal that is to be translated."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and called(node) in TRANSLATED:
            match [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]:
                case [str(text)]:
                    yield None, text
                case [str(context), str(text), *_]:
                    yield context, text


def test_qt_finds_each_of_them_in_the_context_where_it_is_looked_up(tmp_path: Path) -> None:
    """Words inside an f-string, or of a `tr` of another object, would be translated by nobody."""
    files = [str(path) for path in FOLDER.rglob("*.py") if path.parent.name != "scenes"]
    (tmp_path / "files").write_text("\n".join(files))
    command = [str(Path(sys.executable).with_name("pyside6-lupdate")), f"@{tmp_path / 'files'}"]
    subprocess.run([*command, "-ts", str(tmp_path / "app.ts")], check=True, capture_output=True, text=True)
    contexts: dict[str, set[str]] = {}
    for context in ElementTree.parse(tmp_path / "app.ts").iter("context"):
        for message in context.iter("message"):
            contexts.setdefault(message.findtext("source", ""), set()).add(context.findtext("name", ""))
    asked = [one for file in files for one in asked_for(Path(file).read_text("utf-8"))]
    assert len(asked) > 600
    assert [one for one in asked if one[1] not in contexts or one[0] not in {None, *contexts[one[1]]}] == []
    found = set().union(*contexts.values())
    assert found <= {one for one, _ in asked if one} | classes(files), "a context that no object has"


def classes(files: list[str]) -> set[str]:
    """The names of all classes in `files`."""
    nodes = (node for file in files for node in ast.walk(ast.parse(Path(file).read_text("utf-8"))))
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)}


def test_a_sentence_in_a_constant_would_be_found() -> None:
    assert sentences('WORDS = {"one": "Some words"}')
    assert sentences('def said() -> str:\n    return f"Some words, {1} of them"')
    assert not sentences('WORDS = QT_TRANSLATE_NOOP("Here", "Some words")')


@pytest.mark.parametrize(
    "line",
    [
        'QLabel("Words")',
        'label.setText(f"{number} words")',
        'QPushButton(toolTip="Words")',
        'label.setText("One" if number == 1 else "Many")',
        'Segmented(("Answer", "Tokens"), self.tr("Show"))',
        'QFileDialog.getSaveFileName(self, "Words", path)',
    ],
)
def test_it_would_be_found(line: str) -> None:
    assert untranslated(line)


@pytest.mark.parametrize("line", ['QLabel(self.tr("Words"))', 'label.setText("–")', 'label.setText(f"{number}:")'])
def test_what_is_no_language_is_left_alone(line: str) -> None:
    assert untranslated(line) == []
