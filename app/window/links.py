"""`lookahead://` links: what pages, notes and other programs may have the window do.

`lookahead://ask?text=…` puts a question into the composer. It is never sent by itself: who follows a link may not know
what stands in it.
"""

from urllib.parse import parse_qs, urlsplit

SCHEME = "lookahead"
LONGEST = 20_000
"""Characters of a question in a link; browsers carry more, and nobody reads them before sending."""


class LinkError(ValueError):
    """A link that the window does not follow; the sentence says why."""


def is_link(text: str) -> bool:
    """Whether this is a link of ours rather than a path."""
    return text.lower().startswith(f"{SCHEME}://")


def asked_text(link: str) -> str:
    """The question that a link carries. Raises LinkError."""
    try:
        parts = urlsplit(link)
        values = parse_qs(parts.query, max_num_fields=8)
    except ValueError as error:
        raise LinkError(f"{link[:80]} is no link that can be read.") from error
    if parts.netloc.lower() != "ask" or parts.path.strip("/"):
        raise LinkError(f"{link[:80]} asks for what this version does not know: it follows lookahead://ask?text=….")
    text = "".join(values.get("text", ())).replace("\r\n", "\n").replace("\0", "").strip()
    if not text:
        raise LinkError(f"{link[:80]} carries no question.")
    if len(text) > LONGEST:
        raise LinkError(f"The link carries {len(text):,} characters, and {LONGEST:,} may be: attach a file instead.")
    return text
