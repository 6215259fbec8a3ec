"""Code with colours: (text, colour) spans from Pygments."""

from collections.abc import Iterator
from functools import cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

from app.look.theme import Palette

_ROLES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "code_comment"),
    (Keyword, "code_keyword"),
    (Name.Function, "code_name"),
    (Name.Class, "code_name"),
    (Name.Builtin, "code_keyword"),
    (Name.Decorator, "code_name"),
    (Name.Tag, "code_keyword"),
    (Name.Attribute, "code_name"),
    (Operator.Word, "code_keyword"),
    (String, "code_string"),
    (Number, "code_number"),
    (Literal, "code_string"),
)


def highlight(code: str, language: str, palette: Palette) -> Iterator[tuple[str, str]]:
    """Spans of `code` with their colours; joined, they are `code` again. An unknown language has one colour."""
    lexer = _lexer(language) if language else None
    if lexer is None:
        yield code, palette.text
        return
    for kind, text in lexer.get_tokens(code):
        yield text, getattr(palette, _role(kind))


@cache
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@cache
def _role(kind: _TokenType) -> str:
    return next((role for base, role in _ROLES if kind in base), "text")
