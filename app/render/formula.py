r"""LaTeX as it can be shown in a line of text: `x^2` raised, `\alpha` as α, `\frac{a}{b}` as a/b. Knows no Qt.

What is not known stays as it is written: a formula may look plain, but it never says something else.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[{}^_&~]|\s+|[^{}^_&~\s]", re.DOTALL)
_SIGNS = {
    "times": "×", "cdot": "·", "div": "÷", "pm": "±", "mp": "∓", "ast": "∗", "circ": "∘", "bullet": "•",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈", "equiv": "≡", "sim": "∼",
    "cong": "≅", "propto": "∝", "ll": "≪", "gg": "≫", "in": "∈", "notin": "∉", "ni": "∋", "subset": "⊂",
    "subseteq": "⊆", "supset": "⊃", "supseteq": "⊇", "cup": "∪", "cap": "∩", "setminus": "∖", "emptyset": "∅",
    "varnothing": "∅", "forall": "∀", "exists": "∃", "neg": "¬", "lnot": "¬", "land": "∧", "wedge": "∧", "lor": "∨",
    "vee": "∨", "oplus": "⊕", "otimes": "⊗", "to": "→", "rightarrow": "→", "leftarrow": "←", "leftrightarrow": "↔",
    "Rightarrow": "⇒", "implies": "⇒", "Leftarrow": "⇐", "Leftrightarrow": "⇔", "iff": "⇔", "mapsto": "↦",
    "uparrow": "↑", "downarrow": "↓", "infty": "∞", "partial": "∂", "nabla": "∇", "sum": "∑", "prod": "∏",
    "int": "∫", "iint": "∬", "oint": "∮", "angle": "∠", "perp": "⊥", "parallel": "∥", "mid": "∣", "therefore": "∴",
    "because": "∵", "ldots": "…", "dots": "…", "cdots": "⋯", "vdots": "⋮", "prime": "′", "hbar": "ℏ", "ell": "ℓ",
    "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈",
    "rceil": "⌉", "lvert": "|", "rvert": "|", "lVert": "‖", "rVert": "‖", "degree": "°", "star": "⋆",
    "quad": "  ", "qquad": "    ", "varepsilon": "ε", "vartheta": "ϑ", "varphi": "φ", "phi": "ϕ",
    ",": " ", ":": " ", ";": " ", " ": " ", "!": "", "\\": "\n", "|": "‖",
}  # fmt: skip
_QUIET = {"left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "limits"}
_PLAIN = {"text", "mathrm", "mathbf", "mathit", "mathsf", "operatorname", "operatorname*", "textbf", "textit", "boxed"}
_ABOVE = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304", "overline": "\u0305", "dot": "\u0307", "vec": "\u20d7"}
_LETTERS = {"mathbb": "DOUBLE-STRUCK", "mathcal": "SCRIPT"}
_NAMES = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp",
    "lim", "max", "min", "sup", "inf", "det", "gcd",
}  # fmt: skip
_LONE = re.compile(r"[\d.]*|.[\u0302-\u0307\u20d7]?")
_RAISED_DIGITS = str.maketrans("0123456789+-n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ")
_LOWERED_DIGITS = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
_DEEPEST = 20  # formulas inside each other; what is deeper stays as it is written


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text and how far it is raised: 1 above the line, -1 below it, 0 on it."""

    text: str
    raised: int = 0


def pieces(latex: str, depth: int = 0) -> list[Piece]:
    """The formula from left to right, which stands in `depth` others."""
    return [Piece(latex)] if depth > _DEEPEST else _Reader(latex, depth).read()


class _Reader:
    """Reads one formula. Arguments are read by a reader of their own, and are text."""

    def __init__(self, latex: str, depth: int) -> None:
        self._depth = depth
        self._tokens = _TOKEN.findall(latex)
        self._at = 0
        self._pieces: list[Piece] = []

    def read(self) -> list[Piece]:
        while self._at < len(self._tokens):
            self._read_one()
        return self._pieces

    def _read_one(self) -> None:
        token = self._tokens[self._at]
        self._at += 1
        if token in "^_":
            argument = self._argument()
            self._add(argument or token, (1 if token == "^" else -1) if argument else 0)
        elif token.startswith("\\"):
            self._add(self._command(token[1:]))
        elif token not in "{}&":
            self._add(" " if token.isspace() or token == "~" else token)

    def _command(self, name: str) -> str:
        if name in _SIGNS:
            return _SIGNS[name]
        if name in ("frac", "dfrac", "tfrac"):
            return f"{_grouped(self._argument())}/{_grouped(self._argument())}"
        if name == "sqrt":
            return f"{self._degree()}√{_grouped(self._argument())}"
        if name in _PLAIN:
            return self._argument()
        if name in _ABOVE:
            argument = self._argument()
            return argument + _ABOVE[name] if len(argument) == 1 else f"{name}({argument})"
        if name in _LETTERS:
            return "".join(_letter(character, _LETTERS[name]) for character in self._argument())
        if name in ("begin", "end"):
            self._argument()
            return ""
        if name in _QUIET:
            return ""
        return name if name in _NAMES else _greek(name) or (self._unknown(name) if name[:1].isalpha() else name or "\\")

    def _unknown(self, name: str) -> str:
        """A command as it is written, with its braces."""
        has_braces = self._tokens[self._at : self._at + 1] == ["{"]
        return f"\\{name}" + ("{" + self._argument() + "}" if has_braces else "")

    def _degree(self) -> str:
        """A root's degree, in square brackets: `\\sqrt[3]{x}`."""
        if self._tokens[self._at : self._at + 1] != ["["] or "]" not in self._tokens[self._at :]:
            return ""
        end = self._tokens.index("]", self._at)
        inner, self._at = "".join(self._tokens[self._at + 1 : end]), end + 1
        return inner.translate(_RAISED_DIGITS)

    def _argument(self) -> str:
        """What is in the next braces, or the next sign."""
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1
        begin, depth = self._at, 0
        while self._at < len(self._tokens):
            depth += {"{": 1, "}": -1}.get(self._tokens[self._at], 0)
            self._at += 1
            if depth <= 0:
                break
        inner = "".join(self._tokens[begin : self._at])
        if inner.startswith("\\") and inner[1:] in (*_PLAIN, *_LETTERS, *_ABOVE, "sqrt"):
            inner += "{" + self._argument() + "}"
        return "".join(_linear(piece) for piece in pieces(inner, self._depth + 1))

    def _add(self, text: str, raised: int = 0) -> None:
        if text and self._pieces and self._pieces[-1].raised == raised == 0:
            text = self._pieces.pop().text + text
        if text:
            self._pieces.append(Piece(text, raised))


def _linear(piece: Piece) -> str:
    """A raised part inside a raised part, or of a fraction: small digits, or its mark."""
    if piece.raised == 0:
        return piece.text
    small = piece.text.translate(_RAISED_DIGITS if piece.raised > 0 else _LOWERED_DIGITS)
    is_small = not any(character in piece.text for character in small)
    return small if is_small else f"{'^' if piece.raised > 0 else '_'}{_grouped(piece.text)}"


def _grouped(text: str) -> str:
    return text if _LONE.fullmatch(text) else f"({text})"


def _greek(name: str) -> str:
    size = "CAPITAL" if name[:1].isupper() else "SMALL"
    spelled = {"lambda": "lamda"}.get(name.lower(), name.lower())
    return _named(f"GREEK {size} LETTER {spelled.upper()}")


def _letter(character: str, kind: str) -> str:
    """A letter of another kind: ℝ, 𝒩; the oldest of them have names of their own."""
    if not character.isascii() or not character.isupper():
        return character
    return _named(f"MATHEMATICAL {kind} CAPITAL {character}") or _named(f"{kind} CAPITAL {character}") or character


def _named(name: str) -> str:
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return ""


def formula_lines(latex: str) -> Iterator[list[Piece]]:
    """The formula line by line, as `\\\\` and line breaks tell."""
    line: list[Piece] = []
    for piece in pieces(latex.replace("\n", " ")):
        first, *others = piece.text.split("\n")
        line.append(Piece(first, piece.raised))
        for other in others:
            yield line
            line = [Piece(other.lstrip(), piece.raised)]
    if any(piece.text.strip() for piece in line):
        yield line
