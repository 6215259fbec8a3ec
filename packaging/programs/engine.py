from mlx_spec.cli.main import main

main()
