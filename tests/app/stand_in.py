"""A scripted engine that speaks docs/PROTOCOL.md and fails on demand: the last message says how.

Run as `python stand_in.py PORT [--parent-pid PID] [--start loading|failed|crash|refuse] [--max-batch N]`. Only the
standard library. Without `--max-batch` it is an engine that has no page of its batch.
"""

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = """Speculative decoding lets a **small draft** guess a few tokens, and the *target* checks them in one pass.

1. The draft proposes `gamma` tokens.
2. The target scores all of them at once.
3. Matching tokens are kept; the first mismatch is corrected.

```python
def verify(drafted, target):
    for token, expected in zip(drafted, target):
        if token != expected:  # rejected
            return expected
    return None
```

| | plain | looked ahead |
|---|---|---|
| passes | 64 | 23 |

Nothing about the *words* changes, only how soon they come. 你好, café, 👩‍👩‍👧 and <b>markup</b> stay as they are.
"""


def tokens(text: str) -> list[str]:
    """Words with the space before them, and line breaks alone: about what a tokenizer gives."""
    found: list[str] = []
    for character in text:
        if character in " \n" or not found or found[-1] == "\n":
            found.append(character)
        else:
            found[-1] += character
    return found


def rounds(text: str, parks: bool = False) -> list[dict]:
    """The rounds of an answer: the draft is right two or three times, then wrong, then right to its end.

    Every fourth round is the n-gram's. Where it `parks` all but every sixth round are plain, else every thirteenth.
    """
    left, out, position, lookahead = tokens(text), [], 31, 4
    while left:
        index = len(out)
        is_plain = index % 6 != 5 if parks else index % 13 == 12
        num_accepted = min((2, 3, lookahead, 0, 1)[index % 5], lookahead, max(0, len(left) - 1))
        num_accepted = 0 if is_plain else num_accepted
        drafter = None if is_plain else "ngram" if index % 4 == 3 else "model"
        reason = "parked: 0.85x plain expected with 2 drafted" if is_plain else "1.40x plain expected"
        emitted, left = left[: num_accepted + 1], left[num_accepted + 1 :]
        drafted = [{"id": 7, "text": t, "p": 0.61, "q": 0.52, "state": "accepted"} for t in emitted[:-1]]
        if len(drafted) < lookahead and not is_plain:
            drafted.append({"id": 8, "text": " guess", "p": 0.03, "q": 0.29, "state": "rejected"})
        while len(drafted) < lookahead and not is_plain:
            drafted.append({"id": 9, "text": " more", "p": None, "q": 0.8, "state": "untested"})
        last = "bonus" if num_accepted == lookahead else "plain" if is_plain else "correction"
        kinds = ["accepted"] * (len(emitted) - 1) + [last]
        following = max(2, min(8, lookahead + (1 if last == "bonus" else (index % 3) - 1)))
        out.append(
            {
                "type": "round", "round": index, "lookahead": 0 if is_plain else lookahead, "next_lookahead": following,
                "drafter": drafter, "reason": reason, "parked": is_plain,
                "drafted": [] if is_plain else drafted,
                "emitted": [
                    {"id": sum(t.encode()), "text": t, "kind": k, "p": 0.61, "q": None, "position": position + i,
                     "target_top": [{"id": sum(t.encode()), "text": t, "probability": 0.61},
                                    {"id": 11, "text": " perhaps", "probability": 0.2}]}
                    for i, (t, k) in enumerate(zip(emitted, kinds, strict=True))
                ],
                "correction": None, "bonus": None, "draft_ms": 12.0, "verify_ms": 41.5, "round_ms": 54.0,
                "plain_step_ms": 40.0,
            }
        )  # fmt: skip
        position, lookahead = position + len(emitted), following
    return out


def suggestions() -> dict:
    """Three pairs for a machine of 16 GB; the second was raced, of the third nobody can tell the draft's worth."""
    found = []
    for role, name, size, drafted, raced in (
        ("largest", "qwen3-8b", "8B", 89.7, None),
        ("code", "qwen2.5-coder-7b", "7B", 103.8, 1.43),
        ("quick", "llama-3.2-3b", "3B", None, None),
    ):
        pair = {"name": name, "target": f"org/{size}-4bit", "draft": "org/0.6B-4bit", "kind": "same", "verified": True,
                "note": "For 8 GB, thinking or not.", "published": "",
                "measured": None if raced is None else {"ratio": raced}}  # fmt: skip
        found.append({"pair": pair, "role": role, "weights_bytes": 5_127_750_000, "needed_bytes": 6_477_150_000,
                      "plain_rate": 41.93, "drafted_rate": drafted})  # fmt: skip
    return {"available_bytes": 11_450_000_000, "bandwidth_bytes_per_s": 200e9, "device": "stand-in",
            "suggestions": found}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    is_loaded = False
    mode = "ready"
    max_batch = 0
    running: dict[str, dict] = {}  # noqa: RUF012
    most_at_once = 0
    requests: list[dict] = []  # noqa: RUF012

    def do_GET(self) -> None:
        """Health and models."""
        if self.path == "/health":
            is_loading, Handler.is_loaded = not Handler.is_loaded, True  # the first to ask is told to wait
            status = "failed" if self.mode == "failed" else "loading" if is_loading else "ready"
            message = {"failed": "There is no model at /nowhere.", "loading": "Loading the stand-in…"}.get(status, "")
            self._send(200, {"status": status, "message": message})
        elif not self._is_allowed():
            self._send(
                401, {"error": {"message": "Wrong key.", "type": "authentication_error", "param": None, "code": None}}
            )
        elif self.path == "/v1/speculation/machine":
            self._send(200, {"bandwidth_bytes_per_s": 20e9, "step_bytes": 400_000_000, "weights_bytes": 500_000_000,
                             "device": "stand-in", "tokens_per_second": 50.0})  # fmt: skip
        elif self.path == "/v1/models/suggestions":
            self._send(200, suggestions())
        elif self.path == "/v1/batch" and self.max_batch:
            self._send(200, self._batch())
        elif self.path in ("/v1/batch", "/v1/group"):
            self._send(404, {"error": {"message": f"There is no {self.path}.", "type": "invalid_request_error"}})
        elif self.path == "/v1/models":
            self._send(
                200,
                {
                    "object": "list",
                    "data": [{"id": "stand-in", "object": "model", "drafters": ["eagle", "model", "ngram"]}],
                },
            )
        else:
            self._send(200, {"requests": self.requests, "most_at_once": self.most_at_once})

    def do_DELETE(self) -> None:
        """Notes what is to be forgotten."""
        self.requests.append({"deleted": self.path})
        self._send(202, {"prompt_cache_key": self.path.rpartition("/")[2]})

    def do_POST(self) -> None:
        """A chat completion, as its last message wants it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/tokenize":
            prompt = body.get("text") or "\n".join(message["content"] for message in body["messages"])
            self._send(200, {"num_tokens": len(tokens(prompt)), "context_length": 500, "prompt": prompt})
            return
        self.requests.append(body)
        if self.path == "/v1/speculation/settings":
            self._steer(body)
            return
        wish = body["messages"][-1]["content"]
        if not self._is_allowed():
            self._send(
                401, {"error": {"message": "Wrong key.", "type": "authentication_error", "param": None, "code": None}}
            )
        elif wish == "bad request":
            error = {
                "message": "temperature is 9, but must be 0 to 2.",
                "type": "invalid_request_error",
                "param": "temperature",
            }
            self._send(400, {"error": error | {"code": None}})
        elif wish == "not json":
            self._send(502, "<html>no</html>")
        else:
            self._id = f"chatcmpl-{len(self.requests)}"
            self.running[self._id] = {"id": self._id, "chat": body.get("prompt_cache_key")}
            Handler.most_at_once = max(self.most_at_once, len(self.running))
            try:
                self._stream(wish, body["seed"])
            except OSError:  # whoever asked has gone
                pass
            finally:
                self.running.pop(self._id, None)

    def _batch(self) -> dict:
        """All that is streamed is written, and nobody waits but a request of nobody's here."""
        rows = {"read": 0, "plain": 1, "accepted": 2, "rejected": 1}
        counts = {"prompt_tokens": 31, "read_tokens": 31, "written_tokens": 9, "blocks": 4, "priority": "normal"}
        waiting = [{"id": "chatcmpl-x", "chat": None, "priority": "low", "ahead": 0, "prompt_tokens": 700}]
        return {
            "policy": "fcfs",
            "max_batch": self.max_batch,
            "running": [one | counts | {"state": "writing", "rows": rows} for one in list(self.running.values())],
            "waiting": waiting if self.running else [],
            "blocks": {"total": 64, "used": 4 * len(self.running), "shared": 0, "tokens": 32, "bytes": 1},
            "tokens_per_second": 20.0 * len(self.running),
            "metrics": {},
        }

    def _steer(self, body: dict) -> None:
        """Takes any change but a lookahead of 13."""
        if body.get("lookahead") == 13:
            error = {"message": "lookahead is 13: this answer will not.", "type": "invalid_request_error"}
            self._send(400, {"error": error | {"param": "lookahead", "code": None}})
        else:
            self._send(200, {"request": body.get("request")})

    def _stream(self, wish: str, seed: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self._piece = 3 if wish == "odd cuts" else 10**6
        pause = 0.02 if wish in ("slow", "die", "waits") else 0.05 if wish == "long wait" else 0.0
        if wish == "waits":
            for ahead in (3, 1):
                self._write(f": waiting {ahead} ahead\n\n".encode())
                time.sleep(0.4)
        if wish == "slow prefill":
            for done in (256, 512, 900):
                time.sleep(0.25)
                self._event(
                    {"type": "prefill", "processed_tokens": done, "total_tokens": 900, "elapsed_ms": done * 1.0}
                )
        is_known = wish in ("known prompt", "late known prompt")
        if is_known:
            self._read_known(wait_s=0.4 if wish.startswith("late") else 0.0)
        all_rounds = rounds(ANSWER, parks=wish == "park")
        for number, one in enumerate(all_rounds):
            if wish == "die" and number == 5:
                sys.stderr.write("Segmentation fault (scripted)\n")
                sys.stderr.flush()
                os._exit(139)
            if number == 5 and self._has_failed(wish):
                return
            if number == 5 and wish == "waits":
                self._write(b": preempted\n\n")
                time.sleep(0.5)
                self._write(b": resumed\n\n")
            self._event(one, "".join(token["text"] for token in one["emitted"]))
            time.sleep(pause)
        stats = {"rounds": len(all_rounds), "acceptance_rate": 0.5, "speedup": 1.42, "lossless": wish != "lossy"}
        reading = {"prompt_tokens": 2051, "cached_tokens": 2008} if is_known else {"prompt_tokens": 31}
        self._event({"type": "finished", "finish_reason": "length" if wish == "cut" else "stop", "seed": seed,
                     **reading, "completion_tokens": 64, "prefill_ms": 40.0, "stats": stats})  # fmt: skip
        self.running.pop(self._id, None)  # before that is told: the next one may be asked for at once
        self._write(b"data: [DONE]\n\n")

    def _read_known(self, wait_s: float) -> None:
        """A prompt of which all but the end was read for an earlier answer; the request waits `wait_s` before."""
        time.sleep(wait_s)
        for done, elapsed_ms in ((2008, 0.0), (2030, 450.0), (2051, 700.0)):
            progress = {"processed_tokens": done, "total_tokens": 2051, "cached_tokens": 2008}
            self._event({"type": "prefill", **progress, "elapsed_ms": elapsed_ms})
            time.sleep(0.45 if done == 2008 else 0.25)

    def _has_failed(self, wish: str) -> bool:
        if wish == "error chunk":
            self._write(b'data: {"error": {"message": "Out of memory.", "type": "server_error"}}\n\n')
        elif wish == "nonsense":
            self._write(b'data: {"choices": [], "speculation": {"type": "round"}}\n\n')
        elif wish == "stall":
            time.sleep(30)
        return wish in ("error chunk", "nonsense", "drop", "stall")

    def _event(self, speculation: dict, text: str = "") -> None:
        delta = {"content": text} if text else {}
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta}],
            "speculation": speculation,
        }
        self._write(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n")

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), self._piece):
            self.wfile.write(data[start : start + self._piece])
            self.wfile.flush()

    def _send(self, status: int, value: object) -> None:
        data = json.dumps(value).encode() if not isinstance(value, str) else value.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _is_allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {os.environ['LOOKAHEAD_API_KEY']}"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--parent-pid", type=int)
    parser.add_argument("--start", default="ready")
    parser.add_argument("--max-batch", type=int, default=0)
    parser.add_argument("--prefix-disk")
    options = parser.parse_args()
    if options.start == "refuse":
        sys.stderr.write("mlx-spec: studio does not answer: wake it.\n")
        sys.exit(2)
    if options.start == "crash":
        sys.exit("The model file is broken (scripted).")
    Handler.mode, Handler.max_batch = options.start, options.max_batch
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
