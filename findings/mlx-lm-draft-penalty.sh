#!/bin/sh
# mlx-lm: with a draft, logits processors no longer see the prompt, so a repetition penalty gives other words at
# temperature 0.
#
# `generate_step` hands them the whole prompt and what followed; `speculative_generate_step` starts with the prompt's
# last token, as the ones before it are read in another place.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf"
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys
from collections.abc import Callable

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.sample_utils import make_logits_processors

PROMPT, LENGTH = [11, 12, 13, 14, 15, 16], 40
SEEN_FIRST = {"without a draft": PROMPT, "with a draft": PROMPT[-1:]}
DRAFT_IS_RIGHT = {1.0: True, 1.5: False}  # by penalty; 1 is none


def random_model(seed: int) -> Model:
    mx.random.seed(seed)
    model = Model(
        ModelArgs(
            model_type="llama", vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True,
        )
    )
    model.update(
        tree_map(lambda w: 0.25 * mx.random.normal(w.shape) if w.ndim == 2 else w, model.parameters())
    )
    return model


def watched(penalty: float, seen: list[list[int]]) -> list[Callable]:
    """mlx-lm's own repetition penalty; `seen` gets the tokens that it is handed."""
    (inner,) = make_logits_processors(repetition_penalty=penalty, repetition_context_size=100)

    def processor(tokens: mx.array, logits: mx.array) -> mx.array:
        seen.append(tokens.tolist())
        return inner(tokens, logits)

    return [processor]


def without_a_cache(model: Model, penalty: float) -> list[int]:
    text = list(PROMPT)
    for _ in range(LENGTH):
        (processor,) = watched(penalty, [])
        text.append(int(mx.argmax(processor(mx.array(text), model(mx.array([text]))[:, -1]))))
    return text[len(PROMPT) :]


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: with a draft a processor sees the prompt's last token only, and a repetition penalty changes the words;")
print("        without a draft it sees the prompt, and the words are right.")
print("Seen:")
target, draft, prompt = random_model(1), random_model(2), mx.array(PROMPT)
for penalty, draft_is_right in DRAFT_IS_RIGHT.items():
    right = without_a_cache(target, penalty)
    seen: dict[str, list[list[int]]] = {name: [] for name in SEEN_FIRST}
    alone = generate_step(
        prompt, target, max_tokens=LENGTH, logits_processors=watched(penalty, seen["without a draft"])
    )
    drafted = speculative_generate_step(
        prompt, target, draft, num_draft_tokens=3, max_tokens=LENGTH,
        logits_processors=watched(penalty, seen["with a draft"]),
    )
    words = {name: [int(step[0]) for step in steps] for name, steps in zip(SEEN_FIRST, (alone, drafted))}
    first = {name: each[0] for name, each in seen.items()}
    print(f"  penalty {penalty}: first seen {first}; words right:", {name: each == right for name, each in words.items()})
    if first != SEEN_FIRST or [each == right for each in words.values()] != [True, draft_is_right]:
        sys.exit("Not as stated: see the line above.")
PY
"$here/venv/bin/python" "$here/try.py"
