#!/bin/sh
# mlx-lm: what its parsers make of tool calls hangs on the family more than on the call.
#
# A string argument of the text "null" becomes None with qwen3_coder, though the tool's schema asks for a string, and
# "123" stays a string there. LongCat's parser raises AttributeError for a call without arguments, which that format
# writes as the bare name.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0
cat >"$here/try.py" <<'PY'
from importlib import import_module
from importlib.metadata import version


def parsed(family: str, text: str) -> object:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    try:
        return import_module(f"mlx_lm.tool_parsers.{family}").parse_tool_call(text, tools)["arguments"]
    except Exception as error:
        return type(error).__name__


SEEN = [
    ("qwen3_coder", "<function=f>\n<parameter=city>\nnull\n</parameter>\n</function>", {"city": None}),
    ("qwen3_coder", "<function=f>\n<parameter=city>\n123\n</parameter>\n</function>", {"city": "123"}),
    ("longcat", "f", "AttributeError"),
]
print("mlx-lm", version("mlx-lm"))
changed = 0
for family, text, seen in SEEN:
    now = parsed(family, text)
    changed += now != seen
    print(f"{family:12} {' '.join(text.split())!r:70} {now}")
raise SystemExit(f"{changed} of {len(SEEN)} are otherwise now" if changed else 0)
PY
"$here/venv/bin/python" "$here/try.py"
