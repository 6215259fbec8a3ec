"""`mlx-spec bench`: its options, the modes and their presets, what fills a report, and how it is shown."""
