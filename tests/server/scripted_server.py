"""`python -m tests.server.scripted_server PORT [PARENT_PID]`: a server process that talks for ever, slowly."""

import sys

from mlx_spec.errors import LookaheadError
from mlx_spec.server.ending import LIMIT_S
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.serve import run_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch


def main() -> int:
    """Serve; exit code 2 and one line on stderr for an error, as the command line does it."""
    port, parent, step_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        decoder = ScriptedDecoder()
        decoder.words, decoder.delay_s = ("word ",) * 100_000, step_s
        return ScriptedPair(), decoder

    try:
        # Where a round ends in time, so must the server, and not because a busy machine took too long.
        limit_s = 600.0 if step_s < 1 else LIMIT_S
        run_server(
            load,
            model_name="scripted",
            port=port,
            parent_pid=parent or None,
            limit_s=limit_s,
            make_batch=any_batch,
            report="report" in sys.argv,
        )
    except LookaheadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
