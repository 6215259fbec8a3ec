"""Record what llama.cpp answers to the files of `export.py`.

Run it as `python -m tests.models.gguf.record_architecture_logits` when a case is added there. Needs the package
xllamacpp, which the project does not.
"""

import json
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.models.gguf.export import CASES, CONTEXT, TOKENS, export
from tests.models.gguf.test_architectures import PROMPT


def ask(address: str, token_ids: list[int]) -> list[float]:
    """The logarithms of the probabilities of all tokens after `token_ids`."""
    body = {"prompt": token_ids, "n_predict": 1, "n_probs": TOKENS, "temperature": 0, "cache_prompt": False}
    request = urllib.request.Request(
        address + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        [told] = json.load(answer)["completion_probabilities"]
    found = {entry["id"]: entry["logprob"] for entry in told["top_logprobs"]}
    return [round(found[token], 5) for token in range(TOKENS)]


def record(folder: Path) -> dict[str, Any]:
    """Ask llama.cpp for every case, each through a server of its own, which runs inside this process."""
    import xllamacpp

    cases = {}
    for case in CASES:
        path = folder / f"{case}.gguf"
        export(case, path)
        settings = xllamacpp.CommonParams()
        # llama.cpp takes Phi-3's factors of long texts only where the context is longer than the original one.
        settings.model.path, settings.n_ctx, settings.warmup = str(path), CONTEXT, False
        settings.n_parallel, settings.cpuparams.n_threads = 1, 1
        server = xllamacpp.Server(settings)
        cases[case] = ask(server.listening_address, PROMPT)
        del server
    return {"tool": f"llama.cpp's /completion through xllamacpp {xllamacpp.__version__}", "cases": cases}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "architecture_logits.json"
    with tempfile.TemporaryDirectory() as scratch:
        found = record(Path(scratch))
    lines = ",\n".join(f' "{case}": {json.dumps(values)}' for case, values in found["cases"].items())
    target.write_text(f'{{"tool": "{found["tool"]}", "cases": {{\n{lines}\n}}}}\n', encoding="ascii")
