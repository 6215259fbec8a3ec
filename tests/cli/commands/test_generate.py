"""`mlx-spec generate` on tiny models in folders."""

import json
from pathlib import Path

from mlx_spec.config import SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import load_pair
from tests.cli.calling import mlx_spec, mlx_spec_process
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama


def test_generate_json_is_what_the_library_gives(models: list[str]) -> None:
    done = mlx_spec_process(
        "generate", "hello", *models, "--temperature", "0.7", "--seed", "2", "--max-tokens", "24", "--json"
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    pair = load_pair(models[1], models[3])
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
        "wire_ms",
    }
    assert sum(r["accepted"] for r in answer["rounds"]) == answer["stats"]["accepted_tokens"]
    assert answer["stats"]["speedup"] > 0  # against a plain step that was measured for it


def test_generate_prints_the_answer_alone_on_stdout(models: list[str], tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("---\ntemperature: 0.7\nseed: 2\nmax_tokens: 24\n---\nhello\n")
    # Of a length that is chosen, a slow machine may draft nothing, and then there is no acceptance to tell.
    done = mlx_spec("generate", "--file", str(prompt), *models, "--lookahead", "3")
    as_json = mlx_spec("generate", "--file", str(prompt), *models, "--json")
    assert done.returncode == 0, done.stderr
    # Control characters of the random model's answer do not survive a terminal.
    assert [c for c in done.stdout if c.isalnum()] == [c for c in json.loads(as_json.stdout)["text"] if c.isalnum()]
    for word in ("accepted draft", "tokens a round", "acceptance", "target passes saved", "seed"):
        assert word in done.stderr


def test_every_sampling_option_and_rule_reaches_the_decoder(models: list[str]) -> None:
    options = ["--temperature", "0.9", "--seed", "5", "--top-k", "200", "--min-p", "0.001", "--max-tokens", "24"]
    options += ["--repetition-penalty", "1.3", "--presence-penalty", "0.5", "--frequency-penalty", "-0.25"]
    options += ["--logit-bias", "65=4", "--logit-bias", "66=-2.5", "--ban", "67", "--ban", "101"]
    done = mlx_spec("generate", "hello", *models, *options, "--json")
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
    pair = load_pair(models[1], models[3])
    prompt_ids = pair.encode_chat([{"role": "user", "content": "hello"}])
    *_, end = SpeculativeDecoder(pair, drafter="none").stream(prompt_ids, params, 24)
    assert json.loads(done.stdout)["token_ids"] == list(end.token_ids)
    assert json.loads(done.stdout)["stats"]["lossless"] is True
    lossy = mlx_spec("generate", "hello", *models, *options, "--acceptance", "typical", "--lookahead", "4", "--json")
    assert json.loads(lossy.stdout)["stats"]["lossless"] is False


def test_the_name_of_a_special_token_stops_at_that_token(models: list[str]) -> None:
    done = mlx_spec("generate", "hello", *models, "--logit-bias", "257=100", "--stop", "<|im_start|>", "--json")
    assert json.loads(done.stdout)["token_ids"] == [257], done.stderr
    assert json.loads(done.stdout)["finish_reason"] == "stop"


def test_keys_and_values_in_fewer_bits(models: list[str], tmp_path: Path) -> None:
    target = save_folder(tiny_llama(0, hidden=128), tmp_path / "wide")
    asked = ("generate", "hello", "--target", target, "--draft", "none", "--max-tokens", "12")
    done = mlx_spec(*asked, "--kv-bits", "4", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    pair = load_pair(target, "none", kv_bits=4)
    prompt_ids = pair.encode_chat([{"role": "user", "content": "hello"}])
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(kv_bits=4), drafter="none")
    *_, end = decoder.stream(prompt_ids, SamplingParams(), 12)
    assert (answer["kv_bits"], answer["token_ids"]) == (4, list(end.token_ids))
    assert "keys and values in 4 bits" in mlx_spec(*asked, "--kv-bits", "4").stderr
    as_ever = json.loads(mlx_spec(*asked, "--json").stdout)
    assert as_ever["kv_bits"] is None
    assert as_ever["token_ids"] != answer["token_ids"]


def test_bits_that_cannot_be_are_one_line(models: list[str]) -> None:
    done = mlx_spec("generate", "hello", *models, "--kv-bits", "3")
    assert (done.returncode, done.stderr) == (2, "mlx-spec: kv_bits is 3: it must be 4, 8 or left out.\n")
    done = mlx_spec("generate", "hello", *models, "--kv-bits", "8")
    assert done.returncode == 2
    assert "mlx-spec: target cannot be answered with --kv-bits (kv_bits), as its heads are 8 wide" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_by_a_schema_is_valid_and_what_is_no_schema_is_one_line(models: list[str], tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    schema |= {"additionalProperties": False}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    done = mlx_spec("generate", "hello", *models, "--schema", str(file), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert json.loads(answer["text"]) in ({"ok": True}, {"ok": False})
    assert answer["finish_reason"] == "stop"
    file.write_text("{")
    for options, part in (
        (["--schema", str(file)], "is no JSON"),
        (["--schema", str(tmp_path / "none")], "cannot be read"),
        (["--schema", str(file), "--regex", "a"], "give one of them"),
        (["--regex", " "], "regex is empty"),
    ):
        refused = mlx_spec("generate", "hello", *models, *options)
        assert refused.returncode == 2
        assert part in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_what_a_file_predicts_is_drafted_and_changes_nothing(models: list[str], tmp_path: Path) -> None:
    asked = ["generate", "hello", *models, "--seed", "2", "--max-tokens", "24", "--json", "--drafter", "ngram"]
    bare = json.loads(mlx_spec(*asked).stdout)
    file = tmp_path / "file.txt"
    file.write_text("hello hello hello", encoding="utf-8")
    told = json.loads(mlx_spec(*asked, "--predict", str(file)).stdout)
    assert told["token_ids"] == bare["token_ids"]
    assert "prediction" not in bare
    assert sum(told["prediction"].values()) == len("hello hello hello")
    assert "tokens stand in the answer" in mlx_spec(*asked[:-3], "--predict", str(file)).stderr


def test_what_is_no_text_predicts_nothing(models: list[str], tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for file, part in ((binary, "is no UTF-8 text"), (tmp_path / "missing", "cannot be read")):
        done = mlx_spec("generate", "hello", *models, "--predict", str(file))
        assert done.returncode == 2
        assert part in done.stderr
