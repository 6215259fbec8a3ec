"""The command line as a whole: what is wrong is one line and an exit code, and `--help` answers at once."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.calling import mlx_spec, mlx_spec_process


def test_help_and_a_mistyped_option_wait_for_no_library_that_is_slow_to_import() -> None:
    for arguments in (["--help"], ["bench", "--contenders", "fast"], ["generate", "--nope"]):
        code = (
            "import atexit, sys; from mlx_spec.cli import main as cli; "
            f"sys.argv = ['mlx-spec', *{arguments}]; "
            "slow = {'mlx', 'mlx_lm', 'transformers', 'numpy', 'pypdf', 'huggingface_hub'}; "
            "atexit.register(lambda: print('imported', sorted(slow & sys.modules.keys()))); cli.main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.endswith("imported []\n"), (arguments, done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", ""], "The prompt is empty"),
        (["generate"], "The prompt is empty"),
        (
            ["generate", "x" * 2000],
            "too long: this model's maximum context length is 300 tokens (target), and the prompt has 2,0",
        ),
        (["generate", "hi", "--temperature", "-1"], "temperature is -1.0: it must be a number in [0, 100]"),
        (["generate", "hi", "--top-p", "0"], "top_p is 0.0: it must be a number in (0, 1]"),
        (["generate", "hi", "--presence-penalty", "3"], "presence_penalty is 3.0: it must be a number in [-2, 2]"),
        (["generate", "hi", "--logit-bias", "a=1"], "logit_bias is 'a=1': it must be a token id and a number"),
        (["generate", "hi", "--ban", "900"], "banned_token_ids is 900: it must be made of token ids from 0 to 258"),
        (["generate", "hi", "--lookahead", "40"], "lookahead is '40': it must be auto or a whole number from 1 to 32"),
        (["generate", "hi", "--max-tokens", "0"], "max_tokens is 0: it must be a whole number of at least 1"),
        (["generate", "hi", "--file", "x"], "give one of them"),
        (["serve", "--allow-origin", "*"], "--allow-origin '*' would let web pages of anybody in: give an API key"),
        (["serve", "--allow-origin", "localhost:3000"], "is no origin: write it as in http://localhost:3000"),
        (["serve", "--allow-host", "*"], "--allow-host '*' would let every web page in: give an API key"),
        (["generate", "--file", "/nowhere/x.md"], "/nowhere/x.md is not there"),
        (["generate", "hi", "--draft", "/nowhere/draft"], "There is no model folder /nowhere/draft"),
        (["generate", "hi", "--target", "nowhere"], "nowhere"),
        (["serve", "--host", "0.0.0.0"], "key"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(models: list[str], arguments: list[str], message: str) -> None:
    given = [] if {"--target", "--draft"} & set(arguments) or arguments[0] == "serve" else models
    done = mlx_spec(*arguments, *given)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_so_it_is_in_a_process_of_its_own() -> None:
    assert mlx_spec_process("generate", "hi", "--colour").returncode == 2
    done = mlx_spec_process("generate", "hi", "--target", "nowhere")
    assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (2, "", 1)


def test_help_and_pairs_answer_without_loading_a_model() -> None:
    assert "Answer one prompt" in mlx_spec("generate", "--help").stdout
    pairs = json.loads(mlx_spec("models", "pairs", "--json").stdout)
    assert "starter" in pairs


def test_the_version() -> None:
    done = mlx_spec("--version")
    assert (done.returncode, done.stdout) == (0, f"mlx-spec {version('lookahead-spec')}\n")
