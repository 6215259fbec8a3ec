"""The command line on tiny models in folders."""

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import load_pair
from tests.cli.calling import mlx_spec, mlx_spec_process
from tests.tiny import TINY_VOCAB, byte_tokenizer, tiny_pair


def save_folder(model: object, folder: Path) -> str:
    """Write a tiny model in mlx-lm's layout."""
    folder.mkdir()
    args = model.args
    config = {
        "model_type": "llama",
        "hidden_size": args.hidden_size,
        "num_hidden_layers": args.num_hidden_layers,
        "intermediate_size": args.intermediate_size,
        "num_attention_heads": args.num_attention_heads,
        "num_key_value_heads": args.num_key_value_heads,
        "rms_norm_eps": args.rms_norm_eps,
        "vocab_size": TINY_VOCAB,
        "rope_theta": args.rope_theta,
        "tie_word_embeddings": False,
        "max_position_embeddings": 300,
    }
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    byte_tokenizer()._tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def pair_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    pair = tiny_pair(0)
    target, draft = save_folder(pair.target, folder / "target"), save_folder(pair.draft, folder / "draft")
    return ["--target", target, "--draft", draft]


def test_help_and_a_mistyped_option_wait_for_no_library_that_is_slow_to_import() -> None:
    for arguments in (["--help"], ["bench", "--contenders", "fast"], ["generate", "--nope"]):
        code = (
            "import atexit, sys; from mlx_spec import cli; "
            f"sys.argv = ['mlx-spec', *{arguments}]; "
            "slow = {'mlx', 'mlx_lm', 'transformers', 'numpy', 'pypdf', 'huggingface_hub'}; "
            "atexit.register(lambda: print('imported', sorted(slow & sys.modules.keys()))); cli.main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.endswith("imported []\n"), (arguments, done)


def test_generate_json_is_what_the_library_gives(pair_options: list[str]) -> None:
    done = mlx_spec_process(
        "generate", "hello", *pair_options, "--temperature", "0.7", "--seed", "2", "--max-tokens", "24", "--json"
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    pair = load_pair(pair_options[1], pair_options[3])
    prompt_ids = pair.encode_chat([{"role": "user", "content": "hello"}])
    *_, end = SpeculativeDecoder(pair, drafter="none").stream(prompt_ids, SamplingParams(temperature=0.7, seed=2), 24)
    assert isinstance(end, GenerationFinished)
    assert answer["token_ids"] == list(end.token_ids)
    assert (answer["text"], answer["finish_reason"], answer["seed"]) == (end.text, end.finish_reason, 2)
    assert len(answer["rounds"]) == answer["stats"]["rounds"]
    assert set(answer["rounds"][0]) == {
        "drafted",
        "accepted",
        "lookahead",
        "draft_ms",
        "verify_ms",
        "drafter",
        "reason",
    }
    assert sum(r["accepted"] for r in answer["rounds"]) == answer["stats"]["accepted_tokens"]
    assert answer["stats"]["speedup"] > 0  # against a plain step that was measured for it


def test_generate_prints_the_answer_alone_on_stdout(pair_options: list[str], tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("---\ntemperature: 0.7\nseed: 2\nmax_tokens: 24\n---\nhello\n")
    # Of a length that is chosen, a slow machine may draft nothing, and then there is no acceptance to tell.
    done = mlx_spec("generate", "--file", str(prompt), *pair_options, "--lookahead", "3")
    as_json = mlx_spec("generate", "--file", str(prompt), *pair_options, "--json")
    assert done.returncode == 0, done.stderr
    # Control characters of the random model's answer do not survive a terminal.
    assert [c for c in done.stdout if c.isalnum()] == [c for c in json.loads(as_json.stdout)["text"] if c.isalnum()]
    for word in ("accepted draft", "tokens a round", "acceptance", "target passes saved", "seed"):
        assert word in done.stderr


def test_every_sampling_option_and_rule_reaches_the_decoder(pair_options: list[str]) -> None:
    options = ["--temperature", "0.9", "--seed", "5", "--top-k", "200", "--min-p", "0.001", "--max-tokens", "24"]
    options += ["--repetition-penalty", "1.3", "--presence-penalty", "0.5", "--frequency-penalty", "-0.25"]
    options += ["--logit-bias", "65=4", "--logit-bias", "66=-2.5", "--ban", "67", "--ban", "101"]
    done = mlx_spec("generate", "hello", *pair_options, *options, "--json")
    assert done.returncode == 0, done.stderr
    params = SamplingParams(
        temperature=0.9,
        seed=5,
        top_k=200,
        min_p=0.001,
        repetition_penalty=1.3,
        presence_penalty=0.5,
        frequency_penalty=-0.25,
        logit_bias={65: 4.0, 66: -2.5},
        banned_token_ids=(67, 101),
    )
    pair = load_pair(pair_options[1], pair_options[3])
    prompt_ids = pair.encode_chat([{"role": "user", "content": "hello"}])
    *_, end = SpeculativeDecoder(pair, drafter="none").stream(prompt_ids, params, 24)
    assert json.loads(done.stdout)["token_ids"] == list(end.token_ids)
    assert json.loads(done.stdout)["stats"]["lossless"] is True
    lossy = mlx_spec(
        "generate", "hello", *pair_options, *options, "--acceptance", "typical", "--lookahead", "4", "--json"
    )
    assert json.loads(lossy.stdout)["stats"]["lossless"] is False


def test_the_name_of_a_special_token_stops_at_that_token(pair_options: list[str]) -> None:
    done = mlx_spec("generate", "hello", *pair_options, "--logit-bias", "257=100", "--stop", "<|im_start|>", "--json")
    assert json.loads(done.stdout)["token_ids"] == [257], done.stderr
    assert json.loads(done.stdout)["finish_reason"] == "stop"


def test_chat_answers_lines_and_leaves(pair_options: list[str]) -> None:
    done = mlx_spec("chat", *pair_options, "--max-tokens", "5", "--seed", "1", stdin="hello\n/new\nagain\n/quit\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tokens a round") == 2


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
def test_what_is_wrong_is_one_line_and_exit_code_2(pair_options: list[str], arguments: list[str], message: str) -> None:
    given = [] if {"--target", "--draft"} & set(arguments) or arguments[0] == "serve" else pair_options
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
