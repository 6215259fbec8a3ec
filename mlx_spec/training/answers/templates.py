"""The target's chat template, cut into the pieces that a dialogue lays between questions and answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlx_spec.errors import TrainingError
from mlx_spec.training.answers.dialogue import Template

MARKS = ("\u2402one\u2403", "\u2402two\u2403", "\u2402three\u2403")


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The pieces as ids, and how a question of ours becomes ids."""

    template: Template
    encode: Callable[[str], tuple[int, ...]]


def chat_format(tokenizer: Any) -> ChatFormat:
    """Cut the template of an mlx-lm tokenizer by rendering marked messages.

    Raises TrainingError where the tokenizer has no chat template, or one that does not keep messages whole.
    """

    def encode(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    messages = [
        {"role": role, "content": mark} for role, mark in zip(("user", "assistant", "user"), MARKS, strict=True)
    ]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        opening, rest = text.split(MARKS[0])
        first_reply, rest = rest.split(MARKS[1])
        again, last_reply = rest.split(MARKS[2])
    except Exception as error:  # a template raises what it likes
        raise TrainingError("The target's tokenizer has no chat template that keeps messages as they are.") from error
    stop_id = int(tokenizer.eos_token_id)
    reply, between = encode(last_reply), encode(again)
    if not first_reply.endswith(last_reply[-1:]) or stop_id not in between:
        raise TrainingError("The target's chat template does not end an answer with its end-of-text token.")
    after_stop = between[between.index(stop_id) + 1 :]
    return ChatFormat(Template(encode(opening), reply, after_stop, stop_id), encode)
