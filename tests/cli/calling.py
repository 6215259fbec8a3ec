"""`mlx-spec` called as at a terminal's end: words in, exit code and what it wrote out."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from mlx_spec.cli import main as cli


@dataclass(frozen=True)
class Done:
    """How a call ended."""

    returncode: int
    stdout: str
    stderr: str


def mlx_spec(*arguments: str, stdin: str = "") -> Done:
    """Call it inside this process: in one of its own, importing everything takes longer than all else."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    here = patch.dict("os.environ", LOOKAHEAD_BLAS="off")  # or it would begin this process again
    words, given = patch.object(sys, "argv", ["mlx-spec", *arguments]), patch.object(sys, "stdin", io.StringIO(stdin))
    with here, words, given, redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Done(code, out.getvalue(), err.getvalue())


def mlx_spec_process(*arguments: str) -> Done:
    """Call it in a process of its own, as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "mlx_spec.cli", *arguments], capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)
