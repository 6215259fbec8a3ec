"""What of a schema llguidance does not tell, or tells too late: whether any JSON that is valid by it ends, and how wide
its objects are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MOST_REFERENCES: Final = 256
"""Beyond so many nobody looks: `max_tokens` ends the answer."""
_CONTAINERS: Final = {"object", "array"}


def never_ends(schema: Mapping[str, Any]) -> bool:
    """Whether nothing finite is valid by `schema`, as far as its references tell. False where it is not known."""
    references = set(_references(schema))
    if not references or len(references) > _MOST_REFERENCES:
        return False
    parts = {reference: _part(schema, reference) for reference in references}
    ending: set[str] = set()
    while True:  # the least fixed point: a part ends where it does by parts that end
        more = {reference for reference in references - ending if _ends(parts[reference], ending)}
        if not more:
            return not _ends(schema, ending)
        ending |= more


def widest_object(schema: Mapping[str, Any]) -> int:
    """The most properties that stand in one place. The time to compile them grows with their square."""
    every = (one.get("properties") for one in _objects(schema))
    return max((len(properties) for properties in every if isinstance(properties, Mapping)), default=0)


def _ends(schema: Any, ending: set[str]) -> bool:
    if not isinstance(schema, Mapping):
        return schema is not False
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in ending:
        return False
    if "const" in schema or "enum" in schema:
        return True
    if not all(_ends(one, ending) for one in _list(schema.get("allOf"))):
        return False
    for name in ("anyOf", "oneOf"):
        if name in schema and not any(_ends(one, ending) for one in _list(schema[name])):
            return False
    types = schema.get("type")
    types = {types} if isinstance(types, str) else set(map(str, _list(types)))
    if not types or types - _CONTAINERS:
        return True
    return ("object" in types and _object_ends(schema, ending)) or ("array" in types and _array_ends(schema, ending))


def _object_ends(schema: Mapping[str, Any], ending: set[str]) -> bool:
    known = schema.get("properties")
    properties = known if isinstance(known, Mapping) else {}
    return all(_ends(properties.get(str(name), True), ending) for name in _list(schema.get("required")))


def _array_ends(schema: Mapping[str, Any], ending: set[str]) -> bool:
    least = schema.get("minItems", 0)
    count = least if isinstance(least, int) else 0
    first = _list(schema.get("prefixItems"))[: max(0, count)]
    return all(_ends(one, ending) for one in first) and (count <= len(first) or _ends(schema.get("items"), ending))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _references(value: Any) -> Iterator[str]:
    return (one["$ref"] for one in _objects(value) if isinstance(one.get("$ref"), str))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """All JSON objects in a value, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _part(schema: Mapping[str, Any], reference: str) -> Any:
    """What a reference into the same document points to; True for what is not found, which llguidance tells of."""
    if not reference.startswith("#"):
        return True
    part: Any = schema
    for step in filter(None, reference[1:].split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        elif isinstance(part, Mapping) and name in part:
            part = part[name]
        else:
            return True
    return part
