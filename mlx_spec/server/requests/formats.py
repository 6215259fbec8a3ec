"""What an answer must look like, as requests say it: `response_format` as OpenAI has it, `json_schema`, `regex` or `grammar`."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mlx_spec.decoding.constraints.wanted import Constraint, Spacing
from mlx_spec.server.requests.messages import checked_text
from mlx_spec.server.requests.validation import RequestError, shown

TYPES: Final = ("text", "json_object", "json_schema")


class NamedSchema(BaseModel):
    """OpenAI's `json_schema`. A `strict` one is written in one style, so that its keys and what stands between them can
    be drafted: a blank behind each comma and colon and none elsewhere. `spacing` says otherwise."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    schema_: Annotated[dict[str, Any] | bool | None, Field(alias="schema")] = None
    name: str | None = None
    strict: bool | None = None
    spacing: Spacing | None = None

    @property
    def constraint(self) -> Constraint:
        """Without a schema any JSON will do. Raises GrammarError."""
        schema = {} if self.schema_ is None else self.schema_
        return Constraint.json_schema(schema, spacing=self.spacing or ("one_space" if self.strict else "free"))


class ResponseFormat(BaseModel):
    """OpenAI's `response_format`. `schema` beside `json_object` is llama.cpp's."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None

    @property
    def constraint(self) -> Constraint | None:
        """None where it is any text. Raises RequestError, GrammarError."""
        match self.type:
            case "text":
                return None
            case "json_schema":
                if self.json_schema is None:
                    raise RequestError("response_format.json_schema is missing.", "response_format.json_schema")
                return self.json_schema.constraint
            case _:
                schema = self.schema_
                return Constraint.json_schema(schema, spacing="free") if schema else Constraint.json_object()


def _text(value: object) -> object:
    """An empty one is what clients send for none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("a string")
    return checked_text(value)


OptionalText = Annotated[str | None, BeforeValidator(_text)]


class ConstrainedRequest(BaseModel):
    """The fields of a request whose answer must look like something. At most one of them asks for anything. The bare
    `json_schema` is llama.cpp's."""

    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    regex: OptionalText = None
    grammar: OptionalText = None

    def wanted(self) -> Constraint | None:
        """What the answer must look like; None where nothing is said. Raises RequestError, GrammarError."""
        found = {
            "response_format": self.response_format.constraint if self.response_format else None,
            "json_schema": None
            if self.json_schema is None
            else Constraint.json_schema(self.json_schema, spacing="free"),
            "regex": Constraint.regex(self.regex) if self.regex else None,
            "grammar": Constraint.grammar(self.grammar) if self.grammar else None,
        }
        given = [name for name, constraint in found.items() if constraint is not None]
        if len(given) > 1:
            said = shown(getattr(self, given[1]))
            raise RequestError(f"{given[1]} is {said}, beside {given[0]}: an answer has one shape.", given[1])
        return found[given[0]] if given else None
