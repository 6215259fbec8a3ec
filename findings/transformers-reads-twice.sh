#!/bin/sh
# transformers: `import transformers` and the first name taken from it each open all of its model files, and read the
# whole text of every one for its `__all__`. What the first reading found is kept for 128 folders, there are over 500,
# and both readings go through them in the same order, so that nothing of it is left when the second begins.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.23.0
cat >"$here/try.py" <<'PY'
import collections
import os
import sys

opened = collections.Counter()


def note(event, args):
    if event == "open" and isinstance(args[0], str) and f"transformers{os.sep}models{os.sep}" in args[0]:
        if args[0].endswith(".py"):
            opened[args[0]] += 1


sys.addaudithook(note)
import transformers  # noqa: E402

first = dict(opened)
from transformers import AutoTokenizer  # noqa: E402, F401

twice = sum(count == 2 for count in opened.values())
folders = len({os.path.dirname(path) for path in first})
size = sum(os.path.getsize(path) for path in first) / 1e6
print({"transformers": transformers.__version__})
print("Stated: importing the package opens more than 1,500 model files, and the first name taken from it opens nearly")
print("        all of them once more.")
print(f"Seen: {len(first):,} files of {folders} folders, {size:.0f} MB; of these {twice:,} a second time.")
if len(first) < 1500 or set(first.values()) != {1} or twice < 0.95 * len(first):
    sys.exit("Not as stated: the files are not read twice.")
PY
"$here/venv/bin/python" "$here/try.py"
