"""A model's reasoning and its answer, however it keeps them apart, as one text: `<think>…</think>` and the answer.

Most models write the tags themselves. Some have them as special tokens, which have no text; some have channels
(gpt-oss: `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…`); and for some the
prompt has opened the reasoning already. All of them come out alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from mlx_spec.models.text.detokenize import TokenText

OPEN, CLOSE = "<think>", "</think>"
_TAIL: Final = 8
_Place = Literal["text", "channel", "role"]


class ReasonedText:
    """Streams one answer's text, as `TokenText` does, with its reasoning in tags.

    With `calls`, the markers around calls of tools, these are in the text too, and so is every special token between
    them: elsewhere such have no text.
    """

    def __init__(self, tokenizer: Any, calls: tuple[str, str] | None = None) -> None:
        self._tokenizer = tokenizer
        self._text = TokenText(tokenizer)
        self._tags = _special_tags(tokenizer)
        self._tag_begun: list[int] = []  # tokens that may become one of the tags
        self._channels = _channel_ids(tokenizer)
        self._opening = ""
        self._place: _Place = "text"
        self._header = TokenText(tokenizer)
        self._channel = ""
        self._is_thinking = False
        self._call_begins = _special_marker(tokenizer, calls[0]) if calls is not None else ()
        self._call_end = calls[1] if calls is not None else ""
        if self._call_begins and calls is not None:
            self._tags = self._tags | {self._call_begins: calls[0]}
        self._call: str | None = None  # what is written of a call so far; None outside of calls

    def begin(self, prompt_ids: Sequence[int], *, goes_on: bool) -> None:
        """The answer follows these ids: with a text of its own, or one that `goes_on` theirs."""
        if goes_on:
            self._text.go_on_from(prompt_ids)
            self._is_thinking = self._is_inside_reasoning(prompt_ids)
        elif not self._channels:
            self._opening = opening_of(self._tokenizer, prompt_ids)

    def push(self, token_id: int) -> str:
        """Add one token; return the text that became final with it."""
        opening, self._opening = self._opening, ""
        if self._call is not None:
            return opening + self._written_in_call(token_id)
        begun = (*self._tag_begun, token_id)
        if begun in self._tags:
            self._tag_begun = []
            if begun == self._call_begins:
                self._call = ""
            return opening + self._text.finish() + self._tags[begun]
        if any(tag[: len(begun)] == begun for tag in self._tags):
            self._tag_begun = list(begun)
            return opening
        if self._tag_begun:
            opening += self._no_tag()
            return opening + self.push(token_id)
        if token_id in self._channels:
            return opening + self._turned(self._channels[token_id])
        if self._place == "channel":
            self._channel += self._header.push(token_id)
        if self._place != "text":
            return opening
        return opening + self._text.push(token_id)

    def finish(self) -> str:
        """The text is over: what is left of it."""
        return self._no_tag() + self._text.finish()

    def peek(self, token_id: int) -> str:
        """The text of a token in a text."""
        return self._text.peek(token_id)

    def _written_in_call(self, token_id: int) -> str:
        """What a token says inside of a call, where special ones say their names."""
        if _is_special(self._tokenizer, token_id):
            text = self._text.finish() + str(self._tokenizer.convert_ids_to_tokens(token_id))
        else:
            text = self._text.push(token_id)
        call = f"{self._call}{text}"
        self._call = None if self._call_end and call.endswith(self._call_end) else call[-len(self._call_end) - 1 :]
        return text

    def _no_tag(self) -> str:
        """What seemed to become a tag is text."""
        begun, self._tag_begun = self._tag_begun, []
        return "".join(map(self._text.push, begun))

    def _turned(self, name: str) -> str:
        """A token that structures the answer: what it makes final, and the tag that it stands for."""
        rest = self._text.finish()
        if name != "<|message|>":
            self._channel, self._header = "", TokenText(self._tokenizer)
            self._place = "channel" if name == "<|channel|>" else "role"
            return rest
        self._place, self._text = "text", TokenText(self._tokenizer)
        was_thinking = self._is_thinking
        self._is_thinking = bool(self._channel.strip()) and "final" not in self._channel
        if self._is_thinking:
            return rest + ("\n\n" if was_thinking else OPEN)
        return rest + (CLOSE if was_thinking else "")

    def _is_inside_reasoning(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the prompt ends inside a channel that is no answer."""
        if not self._channels:
            return False
        names = [self._channels.get(token_id) for token_id in prompt_ids]
        if "<|message|>" not in names:
            return False
        last = len(names) - 1 - names[::-1].index("<|message|>")
        if any(names[last + 1 :]):
            return False
        return "final" not in str(self._tokenizer.decode(list(prompt_ids[max(0, last - 4) : last])))


def opening_of(tokenizer: Any, prompt_ids: Sequence[int]) -> str:
    """The tag that a prompt ends with, and the white space behind it, where it opens the reasoning; else nothing."""
    start = getattr(tokenizer, "think_start", None) or OPEN
    tail = str(tokenizer.decode(list(prompt_ids[-_TAIL:]), skip_special_tokens=False))
    bare = tail.rstrip()
    return OPEN + tail[len(bare) :] if bare.endswith(start) else ""


@dataclass(frozen=True, slots=True)
class ReasoningMarks:
    """The tokens that `begin` and `end` a model's reasoning. It `is_open` where the prompt has begun it."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    is_open: bool


def reasoning_marks(tokenizer: Any, prompt_ids: Sequence[int]) -> ReasoningMarks | None:
    """The marks of an answer behind this prompt; None for a model that has none."""

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    if _channel_ids(tokenizer):
        final = "<|end|><|start|>assistant<|channel|>final<|message|>"
        return ReasoningMarks(ids("<|channel|>analysis<|message|>"), ids(final), is_open=False)
    begin, end = (getattr(tokenizer, name, None) for name in ("think_start_tokens", "think_end_tokens"))
    is_open = bool(opening_of(tokenizer, prompt_ids))
    if not is_open and not (begin and end):
        return None
    return ReasoningMarks(tuple(begin or ids(OPEN)), tuple(end or ids(CLOSE)), is_open)


def reasoning_ends_with(tokenizer: Any, prompt_ids: Sequence[int]) -> tuple[int, ...]:
    """The tokens behind which the answer itself begins, where a model reasons first: it has opened a tag, or speaks in
    channels; none where the answer begins at once."""
    if _channel_ids(tokenizer):
        return tuple(tokenizer.encode("<|channel|>final<|message|>", add_special_tokens=False))
    if opening_of(tokenizer, prompt_ids):
        return tuple(getattr(tokenizer, "think_end_tokens", None) or tokenizer.encode(CLOSE, add_special_tokens=False))
    return ()


def split(text: str) -> tuple[str, str]:
    """The reasoning that `text` begins with, and what is said after it."""
    begun = text.lstrip()
    if not begun.startswith(OPEN):
        return "", text
    reasoning, _, answer = begun.removeprefix(OPEN).partition(CLOSE)
    return reasoning.strip(), answer.lstrip()


def _special_tags(tokenizer: Any) -> dict[tuple[int, ...], str]:
    """Special tokens around reasoning, or around parts of it, which would have no text."""
    marks = {getattr(tokenizer, "think_start_tokens", None): OPEN, getattr(tokenizer, "think_end_tokens", None): CLOSE}
    return {ids: tag for ids, tag in marks.items() if ids and _is_special(tokenizer, ids[0])}


def _special_marker(tokenizer: Any, marker: str) -> tuple[int, ...]:
    """The ids of a marker that begins with a special token; none for one that has text anyway."""
    ids = tuple(tokenizer.encode(marker, add_special_tokens=False))
    return ids if ids and _is_special(tokenizer, ids[0]) else ()


def _is_special(tokenizer: Any, token_id: int) -> bool:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return token_id in added and bool(added[token_id].special)


def _channel_ids(tokenizer: Any) -> dict[int, str]:
    """The tokens of a model with channels; none for any other."""
    names = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>")
    # Not by `get_vocab`: to copy a vocabulary takes as long as a step.
    found = {tokenizer.convert_tokens_to_ids(name): name for name in names}
    known = all(
        token_id is not None and tokenizer.convert_ids_to_tokens(token_id) == name for token_id, name in found.items()
    )
    return found if known and len(found) == len(names) else {}
