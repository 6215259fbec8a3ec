#!/bin/sh
# llama.cpp (through xllamacpp): its pre-tokenizer "kimi-k2" does not cut before a capital, and "gpt-4o" leaves
# combining marks out of words; the patterns that the models' authors published do the one and not the other.
#
# A token that reaches over the border shows it: it is found only where the text is not cut there.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6 regex==2026.11.15
cat >"$here/try.py" <<'PY'
import importlib.metadata
import json
import os
import subprocess
import sys
import urllib.request

import numpy as np
import regex
from gguf import GGUFWriter

HERE = sys.argv[1]
# What OpenAI (o200k_base, tiktoken 0.14.0) and Moonshot (Kimi K2's tokenization_kimi.py) have in common, in words of our
# own: any capitals, then small letters, where marks and letters without case are both; Moonshot's leaves Han out.
CAPITAL, SMALL = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
WORD = rf"[{CAPITAL}]*[{SMALL}]+|[{CAPITAL}]+[{SMALL}]*"
# By name and text: whether llama.cpp cuts inside the pair of letters that is a token, and whether the pattern does.
CAMEL, ACCENT = "camelCase", "et\u0301e"
PAIRS = {CAMEL: ("l", "C"), ACCENT: ("t", "\u0301")}
CUT = {
    ("kimi-k2", CAMEL): (False, True),
    ("gpt-4o", CAMEL): (True, True),
    ("gpt-4o", ACCENT): (True, False),
    ("qwen35", ACCENT): (False, False),  # a name whose words do have marks
}


def byte_letters() -> list[str]:
    """The letters that byte-level vocabularies write the 256 bytes with."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte if byte in shown else 256 + hidden.index(byte)) for byte in range(256)]


LETTERS = byte_letters()
MARK = [LETTERS[byte] for byte in "\u0301".encode()]
MERGES = ["l C", " ".join(MARK), "t " + "".join(MARK)]
TOKENS = ["<end>", *LETTERS, *(merge.replace(" ", "") for merge in MERGES)]


def write_model(name: str) -> str:
    """A llama of one layer, all zeros, whose tokenizer has the pre-tokenizer `name`."""
    path, width = f"{HERE}/{name}.gguf", 32
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] + [1] * (len(TOKENS) - 1))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    square, row = np.zeros((width, width), np.float32), np.zeros(width, np.float32)
    writer.add_tensor("token_embd.weight", np.zeros((len(TOKENS), width), np.float32))
    writer.add_tensor("output_norm.weight", row)
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{part}.weight", square)
    for part in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{part}.weight", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def serve_and_ask(name: str, text: str) -> None:
    """Runs in a process of its own, as the server ends with its process."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.warmup = write_model(name), 64, False
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)
    body = json.dumps({"content": text, "add_special": False}).encode()
    request = urllib.request.Request(
        server.listening_address + "/tokenize", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        sys.stdout.write(f"\nTOKENS {answer.read().decode()}\n")
    sys.stdout.flush()
    os._exit(0)


def tokens_of(name: str, text: str) -> list[str]:
    run = subprocess.run([sys.executable, __file__, HERE, name, text], capture_output=True, text=True)
    found = [line for line in run.stdout.splitlines() if line.startswith("TOKENS ")]
    if not found:
        sys.exit(f"Not as stated: llama.cpp does not tokenize with {name}:\n{run.stderr[-2000:]}")
    return [TOKENS[token_id] for token_id in json.loads(found[0].removeprefix("TOKENS "))["tokens"]]


if len(sys.argv) > 2:
    serve_and_ask(sys.argv[2], sys.argv[3])
print({name: importlib.metadata.version(name) for name in ("xllamacpp", "gguf", "regex")})
print("Stated: kimi-k2 does not cut camelCase, and gpt-4o cuts a mark off its letter; the published patterns do otherwise.")
print("Seen:")
for (name, text), stated in CUT.items():
    left, right = PAIRS[text]
    tokens = tokens_of(name, text)
    pair = "".join(LETTERS[byte] for byte in (left + right).encode())
    words = regex.findall(WORD, text)
    seen = (pair not in tokens, not any(left + right in word for word in words))
    print(f"  {name}, {ascii(text)}: llama.cpp's tokens {ascii(tokens)}, the pattern's words {ascii(words)}")
    if seen != stated:
        sys.exit(f"Not as stated: whether {name} and the pattern cut {ascii(text)}.")
PY
NO_PROXY=127.0.0.1 "$here/venv/bin/python" "$here/try.py" "$here"
