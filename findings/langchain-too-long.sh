#!/bin/sh
# langchain-openai: OpenAI's own answer to a prompt that is too long is no ContextOverflowError.
#
# The code is looked for in the text of openai's exception. Since openai puts only the message there, and no more the
# whole body, it is not found, though the exception has it as `code`.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    langchain-openai==1.7.4 langchain-core==1.8.3 openai==3.57.0
cat >"$here/try.py" <<'PY'
import importlib.metadata
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI

CODE = "context_length_exceeded"
OPENAIS = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."
RECOGNISED = {OPENAIS: False, f"{OPENAIS} ({CODE})": True, f"The prompt is too long. {OPENAIS}": True}


class Refusing(BaseHTTPRequestHandler):
    """Answers every request as the API does where the prompt does not fit."""

    message = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        error = {"message": self.message, "type": "invalid_request_error", "param": "messages", "code": CODE}
        body = json.dumps({"error": error}).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()
chat = ChatOpenAI(model="m", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
print({name: importlib.metadata.version(name) for name in ("langchain-openai", "langchain-core", "openai")})
print("Stated: with OpenAI's message the exception has the code and is no ContextOverflowError; it is one where the")
print("        message itself has the code, or says \"prompt is too long\".")
print("Seen:")
for message, recognised in RECOGNISED.items():
    Refusing.message = message
    try:
        chat.invoke("Hi")
        sys.exit("Not as stated: no exception.")
    except openai.BadRequestError as error:
        seen, code = isinstance(error, ContextOverflowError), error.code
        print(f"  {message}\n    {type(error).__name__}, code {code}, a ContextOverflowError: {seen}")
    if (seen, code) != (recognised, CODE):
        sys.exit("Not as stated: the exception above is another.")
PY
NO_PROXY=127.0.0.1 "$here/venv/bin/python" "$here/try.py"
