"""`mlx-spec bench` as a person calls it, and what its modes measure."""

import json
from pathlib import Path

import pytest

from mlx_spec.bench.plan import CONTENDERS, CORE
from mlx_spec.bench.prompts import KINDS
from mlx_spec.cli.commands.bench.modes import asked_mode, options_in, plan_of, scope_of, serve_plan_of
from mlx_spec.errors import ConfigError
from tests.cli.calling import mlx_spec
from tests.cli.folders import pair_folders


def test_selected_runs_are_printed_kept_and_shown_again(tmp_path: Path) -> None:
    target, draft = pair_folders(tmp_path)
    out = tmp_path / "report.json"
    options = ["--contenders", "plain,auto,model:3", "--kinds", "chat", "--temperatures", "0,0.7", "--prompts", "1"]
    options += ["--repeats", "1", "--answer-tokens", "12", "--out", str(out)]
    done = mlx_spec("bench", "--target", target, "--draft", draft, *options, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(out.read_text())
    assert {run["contender"] for run in report["runs"]} == {"mlx-lm", "plain", "auto", "model:3"}
    assert {run["temperature"] for run in report["runs"]} == {0.0, 0.7}
    assert {run["kind"] for run in report["runs"]} == {"chat"}
    assert report["complete"]
    assert report["summary"]["differences"] == []
    shown = mlx_spec("bench", "--show", str(out))
    assert shown.returncode == 0, shown.stderr
    assert "ours model, 3" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contenders", "fast"], "contenders is 'fast'"),
        (["--temperatures", "0,warm"], "temperatures is '0,warm': it must be numbers with commas between them"),
        (
            ["--quick", "--full"],
            "mode is '--quick --full': it must be one of --quick, --full, --fixed-sweep, --host,",
        ),
        (["--cold", "--disturbed"], "mode is '--cold --disturbed'"),
        (["--first-start"], "first_start is True: it must be together with --cold."),
        (["--cold", "--slices", "8"], "slices is 8: it must be left out with --cold"),
        (["--cold", "--out", "/nowhere/report.json"], "The report cannot be written to /nowhere/report.json"),
        (["--beside", "nowhere"], "'nowhere' is no address of a server"),
        (["--beside", "http://127.0.0.1:9"], "The server at http://127.0.0.1:9 cannot be measured"),
        (["--turns", "--beside", "http://127.0.0.1:9"], "mode is '--beside --turns'"),
        (["--url", "http://127.0.0.1:9"], "it must be together with --turns or --serve."),
        (["--cold", "--url", "http://127.0.0.1:9"], "it must be together with --turns or --serve."),
        (["--turns", "--first-start"], "first_start is True: it must be together with --cold."),
        (["--turns", "--kinds", "code"], "it must be left out with --turns, which does not use it"),
        (["--turns", "--slices", "8"], "slices is 8: it must be left out with --turns"),
        (["--turns", "--prompts", "0"], "prompts is 0"),
        (["--turns", "--url", "nowhere"], "'nowhere' is no address of a server"),
        (["--turns", "--url", "http://127.0.0.1:9"], "The server at http://127.0.0.1:9 cannot be measured"),
        (["--serve", "--cold"], "mode is '--cold --serve'"),
        (["--serve", "--kinds", "chat"], "it must be left out with --serve, which does not use it"),
        (["--serve", "--at-once", "1,many"], "at_once is '1,many': it must be whole numbers with commas between them"),
        (["--serve", "--at-once", "65"], "at_once is 65: it must be numbers from 1 to 64"),
        (["--serve", "--answer-tokens", "1"], "answer_tokens is 1"),
        (["--serve", "--serve-options", "'"], "it must be options as a shell takes them, with quotes closed"),
        (["--serve", "--beside", "/nowhere"], "There is no engine in /nowhere: name the folder of a checkout"),
        (["--serve", "--url", "http://127.0.0.1:9"], "The server at http://127.0.0.1:9 cannot be measured"),
        (["--serve", "--url", "nowhere"], "'nowhere' is no address of a server"),
        (["--serve", "--out", "/nowhere/report.json"], "The report cannot be written to /nowhere/report.json"),
        (["--at-once", "2"], "at_once is '2': it must be together with --serve."),
        (["--ours", "http://127.0.0.1:9"], "it must be together with --serve or --load."),
        (["--turns", "--serve-options", "--max-batch 2"], "it must be together with --serve or --load."),
        (["--load", "often"], "load is 'often': it must be requests a second with commas between them"),
        (["--load", "0"], "load is 0.0: it must be requests a second, above 0 and up to 100"),
        (["--load", "1", "--at-once", "2"], "at_once is '2': it must be together with --serve."),
        (["--load", "1", "--serve"], "mode is '--serve --load'"),
        (["--load", "1", "--url", "http://127.0.0.1:9"], "The server at http://127.0.0.1:9 cannot be measured"),
        (["--ties", "3", "--serve"], "mode is '--serve --ties'"),
        (["--ties", "3", "--kinds", "chat"], "kinds is ('chat',): it must be left out with --ties"),
        (["--ties", "3", "--answer-tokens", "0"], "answer_tokens is 0: it must be a whole number from 1 on"),
        (["--show", "/nowhere/report.json"], "/nowhere/report.json is no report of a measurement"),
        (["--out", "/nowhere/report.json"], "The report cannot be written to /nowhere/report.json"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = mlx_spec("bench", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_modes_are_presets_that_options_change() -> None:
    assert plan_of("--quick", {}).contenders == CORE
    full = plan_of("--full", {"repeats": 1})
    assert (full.contenders, full.kinds, full.repeats) == (CONTENDERS, KINDS, 1)
    swept = plan_of("--fixed-sweep", {"answer_tokens": 512, "kinds": None})
    assert {f"model:{length}" for length in range(1, 9)} < set(swept.contenders)
    assert (swept.answer_tokens, swept.kinds) == (512, ("chat", "code", "copy-edit", "list", "prose"))


def test_without_a_mode_it_is_the_quick_one_and_two_are_refused() -> None:
    assert asked_mode({"--quick": False, "--cold": False}) == "--quick"
    assert asked_mode({"--quick": False, "--cold": True}) == "--cold"
    with pytest.raises(ConfigError):
        asked_mode({"--host": True, "--full": True})


def test_turns_are_three_chats_with_short_answers_and_no_other_kind() -> None:
    scope = scope_of("--turns", {"answer_tokens": 16})
    assert (scope.kinds, scope.prompts, scope.answer_tokens) == (("chat",), 3, 16)
    assert (scope.temperatures, scope.repeats) == ((0.0,), 1)
    with pytest.raises(ConfigError, match=r"kinds is .* left out with --turns"):
        scope_of("--turns", {"kinds": ("code",)})


def test_servers_are_asked_up_to_sixteen_at_once_and_in_two_turns() -> None:
    plan = serve_plan_of({"contenders": None})
    assert (plan.at_once, plan.prompts, plan.repeats, plan.answer_tokens) == ((1, 2, 4, 8, 16), 8, 2, 64)
    assert serve_plan_of({"at_once": (3,), "past_end": True}).past_end
    assert options_in("--max-batch 16 --policy 'fcfs'") == ("--max-batch", "16", "--policy", "fcfs")
    assert options_in(None) == ()


@pytest.mark.parametrize("mode", ["--cold", "--disturbed", "--beside"])
def test_the_paired_modes_answer_ten_chat_prompts_of_96_tokens_at_temperature_0(mode: str) -> None:
    scope = scope_of(mode, {"contenders": None})
    assert (scope.kinds, scope.prompts, scope.answer_tokens) == (("chat",), 10, 96)
    assert (scope.temperatures, scope.repeats) == ((0.0,), 1)
    assert scope_of(mode, {"prompts": 2, "temperatures": (0.0, 1.0)}).prompts == 2
    with pytest.raises(ConfigError, match=f"contenders is .* left out with {mode}"):
        scope_of(mode, {"contenders": ("plain",)})
