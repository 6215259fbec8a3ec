"""The tokens that steer a conversation, and how text that merely spells them stays text.

A tokenizer turns "<|im_end|>" into the token wherever it stands, also in what a person, a file or a model wrote. So
what is written is marked before the template sees it: a private character between the letters of each such name. What
is unmarked in the rendering is the template's own; the marks are taken out again before anything is encoded.

transformers' own `sanitize_control_tokens` encodes what stands between such names piece by piece, which are not the ids
that the same text has elsewhere, and knows no text without a template.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from tokenizers import Tokenizer

# Private characters, which no text needs: a name the template wrote is spelled `_OPEN number _CLOSE` when encoded.
_OPEN, _CLOSE = "\U000ffff0", "\U000ffff1"
_MARKS: Final = [chr(code) for code in range(0x10FFFD, 0x10FFF0, -1)]
# As vocabularies spell tokens that are not special on paper: `<|fim_prefix|>`.
_SHAPE: Final = re.compile(r"<[|｜].+[|｜]>", re.DOTALL)

THINKING: Final = frozenset({"<think>", "</think>"})
"""What a former answer may say, since the model said it and its template reads it."""


class ControlTokens:
    """The control tokens of a tokenizer: the special ones, those shaped so, and those that its template names."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        self._tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
        control = {
            token_id: token.content
            for token_id, token in getattr(self._tokenizer, "added_tokens_decoder", {}).items()
            if token.content.strip() and (token.special or _SHAPE.fullmatch(token.content) or token.content in template)
        }
        self.ids = frozenset(control)
        names = set(control.values())
        self._names = sorted(names, key=lambda name: (-len(name), name))  # the longest that fits, as tokenizers do
        self._renamed: Tokenizer | None = None
        self._begun = frozenset(name[:at] for name in names for at in range(1, len(name)))
        self._ended = frozenset(name[at:] for name in names for at in range(1, len(name)))
        self._longest = max(map(len, names), default=0)

    def are_spelled_in(self, text: str, *, allowed: frozenset[str] = frozenset()) -> bool:
        """Whether `text` spells a control token other than those `allowed`."""
        pattern = self._pattern(text)
        return pattern is not None and any(match[0] not in allowed for match in pattern.finditer(text))

    def marked(self, text: str, mark: str, *, allowed: frozenset[str] = frozenset()) -> str:
        """`text` with each name that it spells taken apart by `mark`."""

        def apart(match: re.Match[str]) -> str:
            return match[0] if match[0] in allowed else mark + "".join(letter + mark for letter in match[0])

        pattern = self._pattern(text)
        return pattern.sub(apart, text) if pattern is not None else text

    def may_meet(self, texts: Iterable[str]) -> bool:
        """Whether a text ends, begins or is as a control token does in part, so that one may come about where a
        template writes it right beside another text."""
        return any(self._may_meet(text.strip()) for text in texts)

    def _may_meet(self, text: str) -> bool:
        lengths = range(1, min(self._longest, len(text) + 1))
        if any(text[-length:] in self._begun or text[:length] in self._ended for length in lengths):
            return True
        return 0 < len(text) < self._longest and any(text in name[1:-1] for name in self._names)

    def named_in(self, text: str) -> list[str]:
        """The control tokens that `text` spells, in their order."""
        pattern = self._pattern(text)
        return pattern.findall(text) if pattern is not None else []

    def edged(self, text: str, mark: str) -> str:
        """`text` with `mark` at both its ends; not beyond white space, which templates may trim."""
        bare = text.strip()
        return text.replace(bare, f"{mark}{bare}{mark}", 1) if bare else text

    def encode(self, rendered: str, mark: str, *, add_special_tokens: bool = False) -> list[int]:
        """The ids of a rendering with marks: what is marked as text, the other names as tokens."""
        # A template may have written the mark as JSON does.
        rendered = rendered.replace(json.dumps(mark)[1:-1], mark)
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            pieces = [piece for piece in rendered.split(mark) if piece]
            return [token for piece in pieces for token in self._tokenizer.encode(piece, add_special_tokens=False)]
        if self._renamed is None:
            self._renamed = _renamed(backend, self._names)
        rendered = re.sub(f"[{_OPEN}{_CLOSE}]", "\ufffd", rendered)
        stand_ins = {name: _stand_in(index) for index, name in enumerate(self._names)}
        if (pattern := self._pattern(rendered)) is not None:
            rendered = pattern.sub(lambda match: stand_ins[match[0]], rendered)
        return list(self._renamed.encode(rendered.replace(mark, ""), add_special_tokens=add_special_tokens).ids)

    def _pattern(self, text: str) -> re.Pattern[str] | None:
        """What finds the names in `text`; None where it has none, as most: looking for each one is quick."""
        held = [name for name in self._names if name in text]
        return re.compile("|".join(map(re.escape, held))) if held else None


def unused_mark(texts: Iterable[str]) -> str:
    """A private character that none of the texts holds."""
    held = set("".join(texts))
    return next((mark for mark in _MARKS if mark not in held), _MARKS[0])


def _stand_in(index: int) -> str:
    return f"{_OPEN}{index}{_CLOSE}"


def _renamed(backend: Tokenizer, names: list[str]) -> Tokenizer:
    """The same tokenizer, whose control tokens go by their stand-ins: their own names are text to it."""
    content = json.loads(backend.to_str())
    stand_ins = {name: _stand_in(index) for index, name in enumerate(names)}
    for token in content["added_tokens"]:
        token["content"] = stand_ins.get(token["content"], token["content"])
    model = content["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {stand_ins.get(name, name): index for name, index in model["vocab"].items()}
    else:
        model["vocab"] = [[stand_ins.get(name, name), score] for name, score in model["vocab"]]
    if model.get("unk_token") in stand_ins:
        model["unk_token"] = stand_ins[model["unk_token"]]
    if "merges" in model:
        pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
        model["merges"] = [
            list(pair) for pair in pairs if not {*pair, "".join(pair)} & stand_ins.keys()
        ]  # no letters join to a control token
    content["truncation"] = content["padding"] = None
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
