"""`python -m mlx_spec.cli` is `mlx-spec`."""

from mlx_spec.cli.main import main

main()
