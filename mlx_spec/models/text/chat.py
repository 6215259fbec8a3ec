"""A conversation as the ids that its model reads: through the model's chat template, where it has one."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

from mlx_spec.errors import PromptError
from mlx_spec.models.text.control_tokens import THINKING, ControlTokens, unused_mark
from mlx_spec.models.text.messages import contents_of, texts_of, with_contents, with_texts
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.models.text.placing import PROBE, Placing, around, in_every_shape
from mlx_spec.models.text.reasoning import CLOSE, OPEN, opening_of, split

Message = Mapping[str, Any]

_PLACE: Final = "_lookahead_chat"  # where a tokenizer keeps its own
_PROBE_TOOLS: Final = ChatOptions(
    tools=({"type": "function", "function": {"name": PROBE, "description": "a", "parameters": {"type": "object"}}},)
)
_CHANNEL: Final = "<|channel|>{}<|message|>"


class Chat:
    """Writes conversations for one tokenizer. What its template does with them is found out by trying, once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        template = getattr(tokenizer, "chat_template", None)
        self.template = template if isinstance(template, str) else ""
        self.has_template = bool(self.template) or getattr(tokenizer, "_chat_template", None) is not None
        self._control = ControlTokens(tokenizer, self.template)
        self._parts: dict[str, bool] = {}
        self._placing = Placing(self._says)

    def encode(
        self, messages: Sequence[Message], *, continues: bool = False, options: ChatOptions = PLAIN
    ) -> list[int]:
        """As `ModelPair.encode_chat`."""
        if not messages:
            raise PromptError("There is no message to answer.")
        if continues:
            if messages[-1]["role"] != "assistant":
                raise PromptError("There is nothing to continue: the last message must be the assistant's.")
            return self._continued(messages, options)
        texts = [text for written in (*messages, options.values) for text in texts_of(written)]
        mark = unused_mark(texts)
        if any(map(self._is_spelled_in, (*messages, options.values))):
            messages = [self._marked(message, mark) for message in messages]
            options = options.with_values(self._marked(options.values, mark))
        if not self.has_template:
            text = "\n\n".join(str(message.get("content") or "") for message in messages)
            return self._control.encode(text, mark, add_special_tokens=True) if mark in text else self._ids(text)
        rendered = self._kept_apart(messages, self.render(messages, options=options), mark, options)
        if json.dumps(mark)[1:-1] in rendered or mark in rendered:
            return self._control.encode(rendered, mark)
        return list(self._tokenizer.encode(rendered, add_special_tokens=False))

    def _kept_apart(self, messages: Sequence[Message], rendered: str, mark: str, options: ChatOptions) -> str:
        """`rendered`, of these messages, with marks where two texts side by side spell a control token."""
        if not self._control.may_meet(text for message in messages for text in contents_of(message)):
            return rendered
        edged = [with_contents(message, partial(self._control.edged, mark=mark)) for message in messages]
        try:
            apart = self.render(edged, options=options)
        except PromptError:
            return rendered
        is_same = apart.replace(json.dumps(mark)[1:-1], mark).replace(mark, "") == rendered.replace(mark, "")
        return apart if is_same and self._control.named_in(apart) != self._control.named_in(rendered) else rendered

    def render(self, messages: Sequence[Message], *, is_over: bool = False, options: ChatOptions = PLAIN) -> str:
        """The text up to where the answer begins, or of a conversation that `is_over`. Raises PromptError where the
        template refuses the messages."""
        shaped = [self._shaped(message) for message in self._placing.placed(messages)[0]]
        return self._rendered(shaped, is_over=is_over, options=options)

    def note(self, messages: Sequence[Message]) -> str | None:
        """What is not written as it was asked for, a sentence each; None where all is."""
        notes = self._placing.placed(messages)[1] if self.has_template else []
        return " ".join(notes) or None

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the template shows the model which tools there are."""
        return self.has_template and any(self._says_tool(messages) for messages in in_every_shape(around("user", "a")))

    def is_control(self, token_id: int) -> bool:
        """Whether a token is one that no text is made of."""
        return token_id in self._control.ids

    @property
    def tells_time(self) -> bool:
        """Whether the template may say what day it is."""
        return not self.template or self.names("strftime_now") or self.names("date_string")

    def names(self, option: str) -> bool:
        """Whether the template asks for an option of this name."""
        return bool(re.search(rf"\b{re.escape(option)}\b", self.template))

    def _says_tool(self, messages: list[dict[str, Any]]) -> bool:
        try:
            return PROBE in self._rendered(messages, options=_PROBE_TOOLS)
        except PromptError:
            return False

    def _rendered(self, messages: list[dict[str, Any]], *, is_over: bool = False, options: ChatOptions = PLAIN) -> str:
        given: dict[str, Any] = {**self._handed_over, **options.told}
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not is_over, **given
            )
        except Exception as error:  # a template raises what it likes; the messages are what it objects to
            raise PromptError(f"The model's chat template refuses these messages ({error}).") from error
        return text

    @cached_property
    def _handed_over(self) -> dict[str, Any]:
        """What templates may name and transformers 5 does not give them any more."""
        inner = getattr(self._tokenizer, "_tokenizer", self._tokenizer)
        if getattr(self._tokenizer, "_chat_template", None) is not None:
            return {}
        listed = getattr(inner, "additional_special_tokens", None) or getattr(inner, "extra_special_tokens", None) or []
        return {"additional_special_tokens": [str(token) for token in listed]}

    def _continued(self, messages: Sequence[Message], options: ChatOptions) -> list[int]:
        """The ids of a prompt, and of an answer that is begun, as if the model had just said it."""
        before, begun = self.encode(messages[:-1], options=options), str(messages[-1].get("content") or "")
        mark = unused_mark([begun])
        begun = self._as_said(begun, opening_of(self._tokenizer, before), mark)
        if mark in begun:
            return [*before, *self._control.encode(begun, mark)]
        begun_ids = self._glued(messages, before, begun, options) or self._tokenizer.encode(
            begun, add_special_tokens=False
        )
        return [*before, *begun_ids]

    def _as_said(self, begun: str, opening: str, mark: str) -> str:
        """A begun answer as the model says it behind a prompt that ends with `opening`. What spells a control token in
        it is marked; the tokens put around its reasoning and its answer are not."""
        allowed = frozenset() if self._has_channels else THINKING
        marked = partial(self._control.marked, mark=mark, allowed=allowed)
        if not begun.startswith(OPEN):
            return self._before_answer + marked(begun)
        reasoning, closed, answer = begun.removeprefix(OPEN).partition(CLOSE)
        start, end = (getattr(self._tokenizer, name, None) for name in ("think_start", "think_end"))
        start, end = start or OPEN, end or CLOSE
        if self._has_channels:
            start, end = _CHANNEL.format("analysis"), f"<|end|><|start|>assistant{self._before_answer}"
        elif opening:
            start, reasoning = "", reasoning.removeprefix(opening.removeprefix(OPEN))
        return start + marked(reasoning) + (end + marked(answer) if closed else "")

    @property
    def _before_answer(self) -> str:
        return _CHANNEL.format("final") if self._has_channels else ""

    def _glued(self, messages: Sequence[Message], before: list[int], begun: str, options: ChatOptions) -> list[int]:
        """The ids of a begun answer that the template writes right behind the prompt; nothing where it does not.

        Encoded by itself it would begin with the space that sentencepiece puts in front of every text. A template that
        writes a space there means that one, so then it is right.
        """
        if not self.has_template:
            return []
        try:
            prompt = self.render(messages[:-1], options=options)
            whole = self.render(messages, is_over=True, options=options)
        except PromptError:
            return []
        if not whole.startswith(prompt + begun):
            return []
        ids = list(self._tokenizer.encode(prompt + begun, add_special_tokens=False))
        return ids[len(before) :] if ids[: len(before)] == before else []

    @property
    def _has_channels(self) -> bool:
        return "<|channel|>" in self.template and "<|message|>" in self.template

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text))

    def _is_spelled_in(self, message: Message) -> bool:
        allowed = _allowed(message)
        return any(self._control.are_spelled_in(text, allowed=allowed) for text in texts_of(message))

    def _marked(self, message: Message, mark: str) -> dict[str, Any]:
        allowed = _allowed(message)
        return with_texts(message, lambda text: self._control.marked(text, mark, allowed=allowed))

    def _shaped(self, message: Message) -> dict[str, Any]:
        """A message as the template reads it: its reasoning apart, its content in parts, where it wants that."""
        shaped = dict(message)
        content = shaped.get("content")
        if shaped["role"] == "assistant" and isinstance(content, str) and self._wants_reasoning_apart:
            reasoning, answer = split(content)
            if reasoning:
                shaped |= {"content": answer, "reasoning_content": reasoning, "thinking": reasoning}
        if isinstance(shaped.get("content"), str) and self._wants_parts(shaped["role"]):
            shaped["content"] = [{"type": "text", "text": shaped["content"]}]
        return shaped

    @property
    def _wants_reasoning_apart(self) -> bool:
        if CLOSE in self.template:
            return False  # it looks for the reasoning in the content itself
        has_own_tags = getattr(self._tokenizer, "think_start", None) not in (None, OPEN)
        return has_own_tags or bool(re.search(r"reasoning_content|\bthinking\b", self.template))

    def _wants_parts(self, role: str) -> bool:
        wants = self._parts.get(role)
        if wants is None:
            # Kept only when known: another thread may ask meanwhile, and then finds out by itself.
            as_text, *in_parts = in_every_shape(around(role, PROBE))
            wants = not self._says(as_text) and any(map(self._says, in_parts))
            self._parts[role] = wants
        return wants

    def _says(self, messages: list[dict[str, Any]]) -> bool:
        said = sum(PROBE in str(message["content"]) for message in messages)
        try:
            return self._rendered(messages).count(PROBE) >= said
        except PromptError:
            return False


def chat_of(tokenizer: Any) -> Chat:
    """The one `Chat` of a tokenizer, which goes when the tokenizer goes."""
    # Not through getattr, which a tokenizer hands on to the one inside it.
    chat: Chat | None = vars(tokenizer).get(_PLACE)
    if chat is None:
        chat = Chat(tokenizer)
        setattr(tokenizer, _PLACE, chat)
    return chat


def _allowed(message: Message) -> frozenset[str]:
    return THINKING if message.get("role") == "assistant" else frozenset()
