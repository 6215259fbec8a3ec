#!/bin/sh
# tokenizers: the pre-tokenizer Punctuation knows no punctuation that is newer than Unicode 8; its own Regex does.
#
# So two tokenizers written down as equals, one with Punctuation and one with Split on \p{P}, give different ids.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf"
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check tokenizers==0.23.3
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys
import unicodedata

from tokenizers import Regex
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer, Punctuation, Split

# One old mark and five newer ones, with the Unicode version that brought them.
CUT = {"\u2026": (1.1, True), "\u2e42": (7, True), "\u2e43": (9, False), "\u2e49": (10, False), "\u2e4f": (12, False),
       "\u061d": (14, False)}  # fmt: skip


def cuts(splitter: PreTokenizer, mark: str) -> bool:
    return len(splitter.pre_tokenize_str(f"a{mark}b")) == 3


print({"tokenizers": importlib.metadata.version("tokenizers"), "Unicode of Python": unicodedata.unidata_version})
print("Stated: marks of Unicode 7 and before are cut off by Punctuation and BertPreTokenizer, those since 9 are not;")
print(r"        Split on \p{P} cuts all of them.")
print("Seen:")
by_class = Split(Regex(r"\p{P}"), "isolated")
for mark, (version, cut) in CUT.items():
    seen = [cuts(one, mark) for one in (Punctuation(), BertPreTokenizer(), by_class)]
    name = unicodedata.name(mark, "newer than this Python")
    print(f"  U+{ord(mark):04X} (Unicode {version}, {name}):", end=" ")
    print(f"Punctuation {seen[0]}, BertPreTokenizer {seen[1]}, \\p{{P}} {seen[2]}")
    if seen != [cut, cut, True]:
        sys.exit(f"Not as stated: U+{ord(mark):04X}.")
marks = [mark for mark in map(chr, range(sys.maxunicode)) if unicodedata.category(mark).startswith("P")]
missed = [mark for mark in marks if not cuts(Punctuation(), mark)]
print(f"  of the {len(marks)} marks that this Python knows, Punctuation misses {len(missed)}")
PY
"$here/venv/bin/python" "$here/try.py"
