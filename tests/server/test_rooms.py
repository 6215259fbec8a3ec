"""What a reader of the server's values has to import."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("mlx_spec.server", {"starlette", "uvicorn", "pydantic", "mlx"}),
        ("mlx_spec.server.engine.job", {"starlette", "uvicorn", "pydantic", "mlx"}),
        ("mlx_spec.server.requests.completions", {"starlette", "uvicorn", "mlx"}),
        ("mlx_spec.server.answers.completions", {"uvicorn", "mlx"}),
    ],
)
def test_a_value_of_a_request_drags_no_server_in(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
