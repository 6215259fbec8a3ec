"""Twenty schemas as programs send them, with what is asked for each."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer is valid by `schema`."""

    name: str
    question: str
    schema: dict[str, Any]


def _object(**properties: Any) -> dict[str, Any]:
    """An object of just these properties, all of them required, as OpenAI's strict mode wants it."""
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _list(items: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


_TEXT: Final = {"type": "string", "maxLength": 60}
_WORD: Final = {"type": "string", "maxLength": 20}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 10000}
_SURE: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "number", "minimum": -1000, "maximum": 1000}
_DATE: Final = {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"}
_POINT: Final = _object(latitude=_NUMBER, longitude=_NUMBER)
_PERSON: Final = _object(first_name=_WORD, last_name=_WORD, age={"type": "integer", "minimum": 0, "maximum": 120})
_NODE: Final = _object(label=_WORD, children={"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2})

SCHEMAS: Final[tuple[Asked, ...]] = (
    Asked("weather", "Call the weather tool for Paris.", _object(city=_WORD, unit={"enum": ["celsius", "fahrenheit"]})),
    Asked("person", "Invent a person.", _PERSON),
    Asked("country", "Describe France.", _object(country=_WORD, capital=_WORD, population_in_millions=_COUNT)),
    Asked(
        "sentiment",
        "What is the mood of: I love this little phone?",
        _object(sentiment={"enum": ["positive", "neutral", "negative"]}, confidence=_NUMBER, explanation=_TEXT),
    ),
    Asked("places", "Where is the Eiffel Tower?", _object(place_name=_WORD, coordinates=_POINT, is_indoors=_SURE)),
    Asked(
        "shopping",
        "Write a shopping list for pancakes.",
        _object(shopping_items=_list(_object(name=_WORD, quantity=_COUNT, unit=_WORD), 2, 4)),
    ),
    Asked(
        "recipe",
        "How do I make tea?",
        _object(title=_WORD, preparation_minutes=_COUNT, steps=_list(_TEXT, 2, 3)),
    ),
    Asked("calendar", "Put lunch with Ann on Friday.", _object(event_title=_TEXT, start_date=_DATE, all_day=_SURE)),
    Asked(
        "order",
        "Order two blue shirts for John.",
        _object(customer=_PERSON, product=_WORD, colour={"enum": ["red", "green", "blue"]}, quantity=_COUNT),
    ),
    Asked("review", "Review a book.", _object(book_title=_TEXT, author=_WORD, rating={"enum": [1, 2, 3, 4, 5]})),
    Asked("search", "Search the files for TODO.", _object(tool={"const": "search_files"}, query=_TEXT, limit=_COUNT)),
    Asked(
        "extraction",
        "Extract: Bob Smith, 42, writes from Rome about his invoice.",
        _object(sender_name=_WORD, sender_age=_COUNT, sender_city=_WORD, subject=_TEXT, requires_answer=_SURE),
    ),
    Asked(
        "either",
        "Divide six by three.",
        {"anyOf": [_object(result=_NUMBER), _object(error_message=_TEXT)]},
    ),
    Asked(
        "tree",
        "Make a small tree of animals.",
        {"$defs": {"node": _NODE}, "$ref": "#/$defs/node"},
    ),
    Asked(
        "settings",
        "Give the settings of an editor.",
        _object(theme={"enum": ["light", "dark"]}, font_size=_COUNT, tab_width={"enum": [2, 4, 8]}, word_wrap=_SURE),
    ),
    Asked(
        "optional",
        "Name a film.",
        _object(title=_TEXT, year=_COUNT) | {"properties": {"title": _TEXT, "year": _COUNT, "director": _WORD}},
    ),
    Asked("nullable", "Who wrote Beowulf?", _object(author_name={"type": ["string", "null"]}, century=_COUNT)),
    Asked(
        "table",
        "List two planets.",
        _object(planets=_list(_object(planet_name=_WORD, diameter_km=_COUNT, has_rings=_SURE), 2, 2)),
    ),
    Asked("tags", "Tag a photo of a beach.", _object(photo_tags=_list(_WORD, 3, 5), is_landscape=_SURE)),
    Asked(
        "plan",
        "Plan a walk.",
        _object(
            destination=_WORD,
            distance_km=_NUMBER,
            difficulty={"enum": ["easy", "moderate", "difficult"]},
            equipment=_list(_WORD, 1, 3),
            estimated_duration_minutes=_COUNT,
        ),
    ),
)
