"""Gemma 4's way with values: JSON whose names stand bare, and whose strings stand between marks of their own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlx_spec.decoding.constraints.lark import Lark
from mlx_spec.errors import ToolsError

Schema = Mapping[str, Any]
Separated = Callable[[Schema, Callable[[str, Schema], str]], str]
"""The properties of a schema, each as the function writes it, with commas between them."""

_MARK: Final = '<|"|>'
_SIMPLE: Final = frozenset({"integer", "number", "boolean", "null"})
_MOST_ITEMS: Final = 64


class BareValues:
    """Writes values by schemas whose `$ref` lead into `root`."""

    def __init__(self, lark: Lark, root: Schema, separated: Separated) -> None:
        self._lark, self._root, self._separated = lark, root, separated
        self._by_ref: dict[str, str] = {}

    def argument(self, name: str, schema: Schema) -> str:
        """A name with its value."""
        return f"{self._lark.text(f'{name}:')} {self.value(schema)}"

    def value(self, schema: Schema) -> str:
        """A value. Raises ToolsError for a schema that cannot be written so."""
        lark = self._lark
        if isinstance(ref := schema.get("$ref"), str):
            return self._of_ref(ref)
        if "const" in schema or "enum" in schema:
            options = [schema["const"]] if "const" in schema else list(schema["enum"])
            return f"({' | '.join(map(self._constant, options))})"
        for name in ("anyOf", "oneOf"):
            if schema.get(name):
                return f"({' | '.join(map(self.value, schema[name]))})"
        match schema.get("type"):
            case list() as kinds:
                return f"({' | '.join(self.value({**schema, 'type': kind}) for kind in kinds)})"
            case "string":
                return f"{lark.text(_MARK)} {lark.up_to(_MARK)}"
            case "array":
                return self._list(schema)
            case "object":
                return f"{lark.text('{')} {self._separated(schema, self.argument)} {lark.text('}')}"
            case str() as kind if kind in _SIMPLE:
                return lark.json(schema)
        raise ToolsError(
            "A schema without types cannot be kept to in this model's way of calling: give every value a type."
        )

    def _list(self, schema: Schema) -> str:
        lark = self._lark
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", _MOST_ITEMS))
        if most == 0:
            return lark.text("[]")
        item = lark.rule(self.value(schema.get("items") or {"type": ["string", "number", "boolean", "null"]}))
        items = f"{item} ({lark.text(',')} {item}){{{max(0, least - 1)},{most - 1}}}"
        return f"{lark.text('[')} {items if least else f'({items})?'} {lark.text(']')}"

    def _constant(self, value: Any) -> str:
        if isinstance(value, str):
            return self._lark.text(f"{_MARK}{value}{_MARK}")
        return self._lark.json({"const": value})

    def _of_ref(self, ref: str) -> str:
        """The rule of what a `$ref` names, which may hold itself."""
        if ref not in self._by_ref:
            self._by_ref[ref] = self._lark.rule_to_come()
            found: Any = self._root
            for part in ref.removeprefix("#/").split("/") if ref.startswith("#/") else ():
                found = found.get(part) if isinstance(found, Mapping) else None
            if not isinstance(found, Mapping) or found is self._root:
                raise ToolsError(f"The schema names {ref}, which is not in it: put it there, under $defs.")
            self._lark.define(self._by_ref[ref], self.value(found))
        return self._by_ref[ref]
