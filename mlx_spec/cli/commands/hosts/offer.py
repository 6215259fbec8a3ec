"""`mlx-spec hosts offer`: let another machine use this one."""

import contextlib
import threading
from typing import Annotated

import typer

from mlx_spec.cli.commands.hosts.screens import JsonScreen, Lines, TerminalScreen
from mlx_spec.cli.terminal.json_output import AsJsonLines
from mlx_spec.errors import LookaheadError

_Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
_Hidden = Annotated[bool, typer.Option("--hidden", help="Do not announce it: others join by its address.")]


def offer(port: _Port = None, hidden: _Hidden = False, as_json: AsJsonLines = False) -> None:
    """Offer this machine to others on the network, until Ctrl-C: who asks shows a code that you compare.

    With `--json` events come as lines, and `{"confirmed": true}` or false is read for each that is `asked`.
    """
    from mlx_spec.hosts.finding.announcing import Announcement
    from mlx_spec.hosts.finding.facts import own_facts
    from mlx_spec.hosts.finding.identity import fingerprint, own_identity
    from mlx_spec.hosts.finding.joining import PORT
    from mlx_spec.hosts.finding.offering import Offer

    identity, lines = own_identity(), Lines()
    screen = JsonScreen(lines) if as_json else TerminalScreen(lines)
    with Offer(screen, port=PORT if port is None else port) as offered, contextlib.ExitStack() as stack:
        unannounced = None
        if not hidden:
            try:
                stack.enter_context(Announcement(identity, own_facts(), offered.port))
            except LookaheadError as error:
                unannounced = str(error)
        sentence = f"{identity.name} offers itself on port {offered.port}:"
        sentence += f" run `mlx-spec hosts join {identity.name}` elsewhere."
        if isinstance(screen, JsonScreen):
            told = {"event": "offering", "name": identity.name, "port": offered.port, "unannounced": unannounced}
            screen.write(told | {"fingerprint": fingerprint(identity.key), "message": sentence})
        else:
            typer.echo(sentence)
            if unannounced is not None:
                typer.echo(unannounced, err=True)
        # Where another program reads this, its end is the offer's. A terminal's input may end long before.
        with contextlib.suppress(KeyboardInterrupt):  # that it ends when asked to is no failure
            (lines.ended if as_json else threading.Event()).wait()
