"""What a page of the panel is: a widget that the panel tells when to look again."""

from PySide6.QtWidgets import QWidget

from app.look.theme import Palette


class Page(QWidget):
    """One page of the panel, which scrolls it where it is too tall. A page is made in the colours of the moment.

    The panel calls the three methods below, and a page overrides those that it needs. `refresh` and `point` come only
    while the page is in front: what nobody sees is not drawn. A page that also listens to others than the trace asks
    `isVisible()` before it draws; what it missed comes with the `refresh` that brings it to the front.
    """

    needs_rounds = True
    """Whether it shows rounds of an answer. While there are none, the panel's hint stands in its place."""

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours, and sizes for another size of text. What the style sheet colours needs nothing."""

    def refresh(self) -> None:
        """Show what there is now: the page came to the front, or the answer has grown. Ten times a second at most while
        it grows."""

    def point(self) -> None:
        """Another round of the trace is pointed at, or none."""
