"""An answer as its tokens: each in the style of its kind, with what is known of it."""

from app.tokens.page import TokensPage
from app.tokens.style import ghost_format, token_format
from app.tokens.tooltip import visible_text
from app.tokens.view import TokensView

__all__ = ["TokensPage", "TokensView", "ghost_format", "token_format", "visible_text"]
