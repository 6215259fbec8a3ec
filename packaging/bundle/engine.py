"""The program `mlx-spec` of the app."""

from mlx_spec.cli.main import main

main()
