"""Groups of commands that are imported when somebody enters them: the front page needs no more than their names."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


def later(module: str, description: str) -> typer.Typer:
    """A group to be mounted, with the commands of `module`'s `app`, which is imported when one of them is looked up.

    `description` is what its help says: a group that is not imported cannot tell it.
    """

    class Later(TyperGroup):
        _commands: Any

        @property
        def commands(self) -> Any:
            """The commands by their names."""
            if not self._commands:
                self._commands = get_group(importlib.import_module(module).app).commands
            return self._commands

        @commands.setter
        def commands(self, given: Any) -> None:
            self._commands = given

    return typer.Typer(no_args_is_help=True, help=description, cls=Later)
