"""Schemas of the kinds that clients send, small enough for a tiny model to come to their end."""

from typing import Any, Final

_SHORT: Final = {"type": "string", "maxLength": 6}


def thing(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object of just these properties, all of them required unless it is said."""
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "flat": thing(city=_SHORT, count={"type": "integer", "minimum": 0, "maximum": 99}),
    "choice": thing(kind={"enum": ["alpha", "alphabet", "beta"]}, sure={"type": "boolean"}),
    "nested": thing(person=thing(name=_SHORT), active={"const": True}),
    "list": thing(tags={"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1, "maxItems": 3}),
    "optional": thing(["id"], id={"type": "integer", "minimum": 1, "maximum": 9}, note=_SHORT, level={"enum": [1, 2]}),
    "either": {"anyOf": [thing(ok={"const": True}), thing(error=_SHORT)]},
    "recursive": {
        "$defs": {"node": thing(["name"], name=_SHORT, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})},
        "$ref": "#/$defs/node",
    },
    "pattern": thing(date={"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}, number={"type": ["integer", "null"]}),
}
