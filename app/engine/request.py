"""What the window asks of the engine: how an answer is made, and the request that says so. Knows no Qt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Lookahead = int | Literal["auto"]
Drafter = Literal["auto", "eagle", "medusa", "dflash", "model", "grammar", "ngram", "self", "none"]
AcceptanceRule = Literal["coupled", "token", "block", "typical"]
ChatMessage = dict[str, str]  # `role` and `content`, as OpenAI has them
ALTERNATIVES = 3  # of the likeliest tokens in each place, for the tooltips


@dataclass(frozen=True, slots=True)
class Settings:
    """How the answers of a chat are made. `seed` None draws a new one for each; `drafter` "none" decodes plainly.

    `system` is the system prompt, empty for none. `top_k` and `min_p` 0 and `top_p` 1 leave every token possible.
    The rule of `acceptance` keeps the words where it is "coupled"; thresholds and a `tree` that are None are the
    engine's own.
    """

    temperature: float = 0.7
    lookahead: Lookahead = "auto"
    drafter: Drafter = "auto"
    seed: int | None = None
    max_tokens: int = 1024
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    system: str = ""
    acceptance: AcceptanceRule = "coupled"
    acceptance_threshold: float | None = None
    min_acceptance_ratio: float | None = None
    tree: str | None = None


def build_request(
    messages: Sequence[ChatMessage], model: str, settings: Settings, seed: int, chat_key: str | None = None
) -> dict[str, Any]:
    """The body of `POST /v1/chat/completions`. `chat_key` names the chat: the engine may be told to forget it."""
    speculation: dict[str, Any] = {"events": True, "alternatives": ALTERNATIVES, "lookahead": settings.lookahead}
    if settings.drafter != "auto":  # else the engine's own choice, which it may have been started with
        speculation["drafter"] = settings.drafter
    if settings.acceptance != "coupled":
        speculation["acceptance"] = settings.acceptance
    for name in ("acceptance_threshold", "min_acceptance_ratio", "tree"):
        if (value := getattr(settings, name)) is not None:
            speculation[name] = value
    system = [{"role": "system", "content": settings.system}] if settings.system.strip() else []
    return {
        "model": model,
        "messages": [*system, *messages],
        "stream": True,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "min_p": settings.min_p,
        "repetition_penalty": 1.0,  # left out, it would be the model's own, which the window does not show
        "seed": seed,
        "max_tokens": settings.max_tokens,
        "speculation": speculation,
        **({"prompt_cache_key": chat_key} if chat_key is not None else {}),
    }


def begun_in(body: Mapping[str, Any]) -> str:
    """The text of the answer that a request has go on; empty where it begins one."""
    messages = body.get("messages") or ()
    return str(messages[-1]["content"]) if body.get("continue_final_message") and messages else ""
