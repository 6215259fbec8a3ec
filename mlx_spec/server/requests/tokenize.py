"""`POST /v1/tokenize`: what is to be counted."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mlx_spec.server.requests.messages import ChatMessage, whole_text
from mlx_spec.server.requests.thinking import TemplateSettings
from mlx_spec.server.requests.tools import ToolGiven
from mlx_spec.server.requests.validation import RequestError, validated


class TokenizeRequest(BaseModel):
    """Either a conversation, counted with the model's template, or a text as it is. `prompt` asks for the words too."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: list[ChatMessage] | None = None
    text: Annotated[str | None, BeforeValidator(lambda value: None if value is None else whole_text(value))] = None
    model: str | None = None
    prompt: bool = False
    tools: list[ToolGiven] | None = None
    chat_template_kwargs: TemplateSettings = {}


def parse_tokenize(body: object) -> TokenizeRequest:
    """The request in `body`, a parsed JSON value. Raises RequestError."""
    request = validated(TokenizeRequest, body)
    if (request.messages is None) == (request.text is None):
        raise RequestError("Give either messages or text.", "messages")
    return request
