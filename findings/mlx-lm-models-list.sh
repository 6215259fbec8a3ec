#!/bin/sh
# mlx-lm's server: with a model of one's own folder, GET /v1/models is 200 and empty until a Hub cache folder exists.
#
# The answer's status is sent first; then `scan_cache_dir` raises CacheNotFound, for there is nothing to scan. Chat
# works all the while.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf" TRANSFORMERS_VERBOSITY=critical
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0 tokenizers==0.23.3
cat >"$here/try.py" <<'PY'
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

HERE = Path(sys.argv[1])
RAISED = "huggingface_hub.errors.CacheNotFound"
EMPTY_BEFORE, EMPTY_WITH_FOLDER = True, False


def write_model(folder: Path) -> None:
    """A random llama of one layer that spells bytes."""
    config = dict(
        model_type="llama", vocab_size=257, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True, eos_token_id=0,
    )
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    spelling = Tokenizer(BPE({letter: index for index, letter in enumerate(letters)}, []))
    spelling.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spelling.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spelling, eos_token="<end>")
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)


def ask(path: str, body: dict | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ADDRESS + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read()


def wait_until_it_answers(server: subprocess.Popen) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            ask("/health")
            return
        except urllib.error.URLError:
            time.sleep(0.5)
    sys.exit("Not as stated: the server does not start.")


def look(when: str) -> tuple[bool, bool]:
    """Whether the list is empty, and whether the exception has been raised so far."""
    status, listed = ask("/v1/models")
    raised = RAISED in (HERE / "log").read_text()
    print(f"  {when}: status {status}, {len(listed)} bytes, {RAISED} in the log: {raised}")
    return not listed, raised


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ADDRESS = f"http://127.0.0.1:{port}"
print({name: importlib.metadata.version(name) for name in ("mlx-lm", "huggingface-hub")})
print("Stated: chat is answered, the list of models is empty, with an exception, until the cache folder exists.")
print("Seen:")
write_model(HERE / "model")
command = [str(HERE / "venv/bin/mlx_lm.server"), "--model", str(HERE / "model"), "--port", str(port)]
with (HERE / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
    try:
        wait_until_it_answers(server)
        chat = ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3})
        print(f"  chat: status {chat[0]}, {json.loads(chat[1])['usage']['completion_tokens']} tokens")
        empty, raised = look("no cache folder")
        (Path(os.environ["HF_HOME"]) / "hub").mkdir(parents=True)
        empty_with_folder, _ = look("an empty cache folder")
    finally:
        server.kill()
if (empty, raised, empty_with_folder) != (EMPTY_BEFORE, True, EMPTY_WITH_FOLDER):
    sys.exit("Not as stated: the lists above are others.")
PY
NO_PROXY=127.0.0.1 "$here/venv/bin/python" "$here/try.py" "$here"
