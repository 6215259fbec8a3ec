#!/bin/sh
# transformers: apply_chat_template drops `content: None`, so a template that asks `content is none` loses tool calls.
#
# In Jinja a missing key is not none. The message has the form in which OpenAI's API gives a call of a tool, and the
# test is the one by which published templates (DeepSeek R1's first one) tell such messages from answers.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf" TRANSFORMERS_VERBOSITY=critical
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    transformers==5.23.0 huggingface-hub==2.4.0 tokenizers==0.23.3 jinja2==3.1.6
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys

import jinja2
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]"
    "{% if message.content is none %}call of {{ message.tool_calls[0].function.name }}"
    "{% else %}{{ message.content }}{% endif %}{% endfor %}"
)
CALL = {"id": "call1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
MESSAGES = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "12:30", "tool_call_id": "call1"},
]
BY_JINJA = "[user]What time is it?[assistant]call of clock[tool]12:30"
BY_TRANSFORMERS = "[user]What time is it?[assistant][tool]12:30"

print({name: importlib.metadata.version(name) for name in ("transformers", "jinja2")})
print("Stated: the call is in what Jinja makes of template and messages; apply_chat_template loses it without a word.")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0}, unk_token="?")))
seen = (
    jinja2.Environment().from_string(TEMPLATE).render(messages=MESSAGES),
    tokenizer.apply_chat_template(MESSAGES, chat_template=TEMPLATE, tokenize=False),
)
print(f"Seen:\n  Jinja               {seen[0]}\n  apply_chat_template {seen[1]}")
if seen != (BY_JINJA, BY_TRANSFORMERS):
    sys.exit("Not as stated: the prompts above are others.")
PY
"$here/venv/bin/python" "$here/try.py"
