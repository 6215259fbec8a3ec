"""Prompt files: front matter, variables, and what is wrong with them, by line."""

from pathlib import Path

import pytest

from prompt_files import MalformedPromptError, PromptFile, is_prompt_file, parse_prompt, read_prompt
from prompt_files.prompt import PromptSettings

NAME = Path("folder/a.prompt.md")


def prompt(front: str, body: str = "Hello", name: Path = NAME) -> PromptFile:
    return parse_prompt(f"---\n{front}\n---\n{body}", name)


def test_every_setting_is_taken() -> None:
    front = "title: T\nsystem: S\ntemperature: 1\ntop_p: 0.5\nmax_tokens: 9\nseed: 3\npair: starter\nlookahead: 4"
    assert prompt(front).settings == PromptSettings(
        title="T", system="S", temperature=1, top_p=0.5, max_tokens=9, seed=3, pair="starter", lookahead=4
    )
    assert prompt("lookahead: auto").settings.lookahead == "auto"
    assert prompt("system:").settings.given() == {}


def test_variables_in_all_their_forms() -> None:
    front = (
        "system: You speak {{language}}.\nvariables:\n  language: French\n  count: 3\n"
        "  tone: {choices: [calm, loud], label: How}\n  text: {lines: 5}\n  name:\n"
    )
    body = "{{ count }} {{tone}} {{text}} {{name}} \\{{tone}} {{ not a name }}"
    opened = prompt(front, body)
    told = [(v.name, v.label, v.default, v.choices, v.lines) for v in opened.variables]
    assert told == [
        ("language", "Language", "French", (), 1),
        ("count", "Count", "3", (), 1),
        ("tone", "How", "calm", ("calm", "loud"), 1),
        ("text", "Text", None, (), 5),
        ("name", "Name", None, (), 1),
    ]
    text, system = opened.filled({"text": "{{tone}}", "name": "\\1 $x", "count": "7"})
    assert text == "7 calm {{tone}} \\1 $x {{tone}} {{ not a name }}", "a value is not filled again"
    assert system == "You speak French."


def test_without_a_declaration_what_is_used_is_a_variable() -> None:
    assert [v.name for v in parse_prompt("{{b}} {{a}} {{b}}", NAME).variables] == ["b", "a"]
    assert [v.name for v in prompt("variables: [a, b]", "{{b}} {{a}}").variables] == ["a", "b"]


@pytest.mark.parametrize(
    ("spelling", "key", "value"),
    [
        ("010", "seed", 10),
        ("0100", "max_tokens", 100),
        ("+7", "seed", 7),
        ("-1", "seed", -1),
        ("0x1F", "seed", 31),
        ("'12'", "seed", 12),
        ("1e-1", "temperature", 0.1),
        ("1E0", "temperature", 1.0),
        (".5", "top_p", 0.5),
        ("1.", "top_p", 1.0),
        ("0", "temperature", 0),
        ("004", "lookahead", 4),
        ("3.10", "title", "3.10"),
        ("2024-01-02", "title", "2024-01-02"),
        ("2024-13-45", "title", "2024-13-45"),
        ("12:30", "system", "12:30"),
        ("yes", "title", "yes"),
        ("0100", "title", "0100"),
        ("'~'", "title", "~"),
        ("~", "title", None),
        ("null", "seed", None),
    ],
)
def test_a_scalar_means_what_people_mean_by_it(spelling: str, key: str, value: object) -> None:
    assert getattr(prompt(f"{key}: {spelling}").settings, key) == value


def test_defaults_and_choices_keep_their_spelling() -> None:
    front = "variables:\n  version: 3.10\n  at: 12:30\n  code: 0100\n  ok: {choices: [no, 1e3, 1_000]}\n"
    front += "  day: {default: 2024-01-02}"
    opened = prompt(front, "{{version}} {{at}} {{code}} {{ok}} {{day}}")
    assert opened.filled({})[0] == "3.10 12:30 0100 no 2024-01-02"
    assert opened.variables[3].choices == ("no", "1e3", "1_000")


def test_a_blank_line_may_stand_before_the_front_matter() -> None:
    for name in (NAME, Path("note.md")):
        opened = parse_prompt("\n \n---\nseed: 3\n---\nHello {{a}}", name)
        assert (opened.text, opened.settings.seed, len(opened.variables)) == ("Hello {{a}}", 3, 1)


FOREIGN = {
    "Kubernetes": "---\napiVersion: v1\nkind: Service\n---\napiVersion: apps/v1\nkind: Deployment\n",
    "Jekyll": "---\nlayout: post\ntitle: Hello\ndate: 2024-01-02 10:00:00\n---\nSee {{ site.url }} and {{page}}.\n",
    "a title only": "---\ntitle: Hello\n---\nSee {{page}}.\n",
    "Obsidian": "---\ntags: [a, b]\naliases:\n  - c\n---\n[[Note]] {{date}}\n",
    "a template": "---\ncreated: {{date}}\n---\nwords\n",
    "no YAML": "---\nNote: this: is\n\tprose\n---\nwords\n",
    "a list": "---\n- a\n---\nwords\n",
    "nothing": "---\n---\nwords\n",
    "ours and another's": "---\nmodel: gpt\ntemperature: 0\n---\nwords\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_front_matter_of_others_is_text(content: str) -> None:
    opened = parse_prompt(content, Path("note.md"))
    assert (opened.text, opened.settings.given(), opened.variables) == (content.strip("\n"), {}, ())
    assert not opened.is_template


def test_a_prompt_by_name_tells_what_it_does_not_know() -> None:
    with pytest.raises(MalformedPromptError, match="line 2: unknown key 'apiVersion'"):
        parse_prompt(FOREIGN["Kubernetes"], NAME)


def test_aliases_that_stand_for_ever_more_end() -> None:
    lines = ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 60))]
    with pytest.raises(MalformedPromptError, match="unknown key 'a0'"):
        prompt("\n".join(lines))


def test_a_prompt_tells_what_of_its_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße aus Köln. ".encode() * 9 + b"\xff")
    assert read_prompt(tmp_path / "a.txt").remark == "1 unreadable character"


def test_a_plain_text_keeps_its_braces() -> None:
    opened = parse_prompt("Use {{x}} and \\{{y}} in LaTeX", Path("notes.md"))
    assert opened.variables == ()
    assert opened.filled({})[0] == "Use {{x}} and \\{{y}} in LaTeX"


def test_a_value_that_is_missing_or_no_choice() -> None:
    opened = prompt("variables: {a: , b: {choices: [x, y]}}", "{{a}} {{b}}")
    with pytest.raises(MalformedPromptError, match="needs a value for a"):
        opened.filled({})
    with pytest.raises(MalformedPromptError, match="needs a value for a"):
        opened.filled({"a": "  "})
    with pytest.raises(MalformedPromptError, match="b is 'z', but must be one of x, y"):
        opened.filled({"a": "1", "b": "z"})


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("---\ntitle: A\ncolour: red\n---\nhi", 3, "unknown key 'colour': use title, system"),
        ("---\n\n# a comment\nseed: soon\n---\nhi", 4, "seed is 'soon', but must be a whole number"),
        ("---\nseed: 1.5\n---\nhi", 2, "a whole number"),
        ("---\nmax_tokens: true\n---\nhi", 2, "max_tokens is 'true'"),
        ("---\ntemperature: .inf\n---\nhi", 2, "temperature is '.inf', but must be a number"),
        ("---\nlookahead: often\n---\nhi", 2, "auto or a whole number"),
        ("---\ntitle: [a, b]\n---\nhi", 2, "title is ['a', 'b'], but must be text"),
        ("---\npair: [a]\n---\nhi", 2, "pair is ['a']"),
        ("---\nseed: 1\ntitle: a\nseed: 2\n---\nhi", 4, "stands a second time, after line 2"),
        ("---\ntitle: a: b\n---\nhi", 2, "is not YAML"),
        ("---\ntitle: x\n\ttop_p: 1\n---\nhi", 3, "is not YAML"),
        ("---\nvariables: 3\n---\nhi", 2, "a list of names, or names with their defaults"),
        ("---\nvariables:\n  a:\n    colour: 1\n---\n{{a}}", 4, "a has an unknown key 'colour'"),
        ("---\nvariables:\n  a:\n    lines: 900\n---\n{{a}}", 4, "a whole number from 1 to 40"),
        ("---\nvariables:\n  a:\n    choices: x\n---\n{{a}}", 4, "a list of texts"),
        ("---\nvariables:\n  a:\n    choices: [x]\n    default: y\n---\n{{a}}", 5, "one of its choices"),
        ("---\nvariables:\n  a: [x]\n---\n{{a}}", 3, "the default of a is ['x']"),
        ("---\nvariables:\n  a b: 1\n---\n{{a}}", 3, "letters, digits and _"),
        ("---\nvariables: [a, b]\n---\n{{a}}", 2, "b is declared and never used"),
        ("---\nvariables: [a]\n---\n{{a}}\n\n{{c}}", 6, "{{c}} is not among the variables a"),
        ("\n\n---\nseed: soon\n---\nhi", 4, "seed is 'soon'"),
        ("\n---\ntitle: a: b\n---\nhi", 3, "is not YAML"),
        ("\n---\nvariables: [a]\n---\n{{a}}\n\n{{c}}", 7, "{{c}} is not among the variables a"),
        ("\n---\n- a\n---\nhi", 2, "not a list of settings"),
        ("---\ntitle: !!python/name:os.system\n---\nhi", 2, "is not YAML"),
        ("---\ntemperature: 1e999\n---\nhi", 2, "must be a number"),
        ("---\ntemperature: 0,7\n---\nhi", 2, "temperature is '0,7', but must be a number"),
        ("---\nseed: 12:30\n---\nhi", 2, "seed is '12:30', but must be a whole number"),
        ("---\nseed: " + "9" * 5000 + "\n---\nhi", 2, "must be a whole number"),
        ("---\nx: &a {y: *a}\n---\nhi", 2, "unknown key 'x'"),
        ("---\n- a\n---\nhi", 1, "not a list of settings"),
        ("---\ntitle: never closed\nhi", 1, "not a list of settings"),
        ("---\nx: &a [*a]\n---\nhi", 2, "unknown key 'x'"),
        ("---\n" + "[" * 5000 + "\n---\nhi", 2, "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(content: str, line: int, words: str) -> None:
    with pytest.raises(MalformedPromptError) as caught:
        parse_prompt(content, NAME)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"a.prompt.md, line {line}:")
    assert caught.value.line == line


def test_an_empty_prompt_and_its_title(tmp_path: Path) -> None:
    with pytest.raises(MalformedPromptError, match="is empty"):
        prompt("title: A", " \n")
    (tmp_path / "03-sum_it-up.prompt.md").write_text("x")
    assert read_prompt(tmp_path / "03-sum_it-up.prompt.md").title == "Sum it up"
    assert is_prompt_file(Path("A.PROMPT.MD"))
    assert not is_prompt_file(Path("prompt.md"))
