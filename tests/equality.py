"""The promise, on the real pair: for a seed, the ids with the draft are the ids without it.

    python -m tests.equality --prompts 40 --max-tokens 128 --out runs.jsonl

Runs every prompt at temperatures 0, 0.7 and 1.2, with and without top-p, without a draft and at lookahead 1, 4, 8 and
auto: with the draft model, the head, and both and the n-gram. Results are appended to a file as they come, and a second
run goes on where the first one stopped; `--part 1/2` and `--part 2/2` are two processes' halves of one file. Where ids
differ, the gap between the two tokens at the first difference is measured: in float32 a verify pass over several rows
rounds differently from a single step, and a difference is excused only as a near-tie.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.config import DrafterName, SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair, load_pair
from mlx_spec.sampling.distribution import scores
from mlx_spec.sampling.gumbel import noise

SETTINGS = [(temperature, top_p) for temperature in (0.0, 0.7, 1.2) for top_p in (1.0, 0.9)]
WAYS: tuple[tuple[DrafterName, int | str], ...] = (("model", 1), ("eagle", 4), ("model", 8), ("auto", "auto"))
"""Who drafts, and how many tokens: the draft model, the head, and what `generate` does."""
NEAR_TIE = 1e-3
"""In units of noisy log-probability. Float32 rounding of this model's logits is about 1e-5 to 1e-4."""


def ids_of(
    decoder: SpeculativeDecoder, prompt_ids: list[int], params: SamplingParams, limit: int, **how: Any
) -> list[int]:
    """The answer's token ids."""
    *_, end = decoder.stream(prompt_ids, params, limit, **how)
    assert isinstance(end, GenerationFinished)
    return list(end.token_ids)


def gap_at(pair: ModelPair, context: list[int], params: SamplingParams, one: int, other: int) -> float:
    """How far apart two tokens are after `context`, in score plus noise."""
    row = scores(pair.target(mx.array([context]))[0, -1], params)
    if params.temperature > 0:
        assert params.seed is not None
        row = row + noise(params.seed, len(context), row.shape[-1])
    return abs(float(row[one].item()) - float(row[other].item()))


def compare(pair: ModelPair, text: str, params: SamplingParams, limit: int) -> dict[str, Any]:
    """One prompt at one setting: is every lookahead equal to plain decoding, and if not, how near was the tie?"""
    decoder = SpeculativeDecoder(pair)
    prompt_ids = pair.encode_chat([{"role": "user", "content": text}])
    plain = ids_of(decoder, prompt_ids, params, limit, drafter="none")
    differences = {}
    for drafter, lookahead in WAYS:
        ours = ids_of(decoder, prompt_ids, params, limit, drafter=drafter, lookahead=lookahead)
        if ours != plain:
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, plain, strict=False)) if a != b), min(len(ours), len(plain))
            )
            ends = [ids[at] if at < len(ids) else min(pair.eos_token_ids) for ids in (ours, plain)]
            differences[f"{drafter}, {lookahead}"] = {
                "at": at,
                "gap": gap_at(pair, prompt_ids + plain[:at], params, *ends),
            }
    return {"tokens": len(plain), "equal": len(WAYS) - len(differences), "differences": differences}


def cases(prompts: int) -> Iterator[tuple[int, int]]:
    """(prompt, setting), so that any beginning of the list covers prompts and settings evenly."""
    for turn in range(len(SETTINGS)):
        for prompt in range(prompts):
            yield prompt, (prompt + turn) % len(SETTINGS)


def main() -> None:
    """Run what is not in the output file yet, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("equality.jsonl"))
    parser.add_argument("--part", default="1/1", help="every N-th case only, from the K-th: K/N")
    options = parser.parse_args()
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    known = {(entry["prompt"], entry["setting"]) for entry in done}
    pair = load_pair("starter")
    texts = bench_prompts(options.prompts)
    part, parts = (int(number) for number in options.part.split("/"))
    for prompt, setting in islice(cases(len(texts)), part - 1, None, parts):
        if (prompt, setting) not in known:
            temperature, top_p = SETTINGS[setting]
            params = SamplingParams(temperature=temperature, top_p=top_p, seed=1000 + prompt)
            entry = {"prompt": prompt, "setting": setting} | compare(pair, texts[prompt], params, options.max_tokens)
            done.append(entry)
            with options.out.open("a") as out:
                out.write(json.dumps(entry) + "\n")
        runs, equal = len(done) * len(WAYS), sum(entry["equal"] for entry in done)
        print(f"{len(done)} cases, {equal} of {runs} runs equal", flush=True)  # noqa: T201
    for entry in done:
        if entry["differences"]:
            print(entry)  # noqa: T201


if __name__ == "__main__":
    main()
