#!/bin/sh
# mlx-lm: the streaming detokenizer for byte-level vocabularies takes the first space off an answer, though it is
# described to give what `tokenizer.decode` gives; prompt and completion no longer fit together.
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
import sys

from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

STREAMED = {"time": "time", " time": "time", "  time flies": " time flies"}

letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
spelling = Tokenizer(BPE({letter: index for index, letter in enumerate(letters)}, []))
spelling.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
spelling.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=spelling, eos_token="<end>")
print({name: importlib.metadata.version(name) for name in ("mlx-lm", "transformers", "tokenizers")})
print("Stated: decode gives the text back; the streaming detokenizer gives it back without its first space.")
print("Seen:")
for text, stated in STREAMED.items():
    ids = tokenizer.encode(text)
    stream = BPEStreamingDetokenizer(tokenizer)
    for token_id in ids:
        stream.add_token(token_id)
    stream.finalize()
    print(f"  {text!r}: decoded {tokenizer.decode(ids)!r}, streamed {stream.text!r}")
    if (tokenizer.decode(ids), stream.text) != (text, stated):
        sys.exit(f"Not as stated: the text of {text!r}.")
PY
"$here/venv/bin/python" "$here/try.py"
