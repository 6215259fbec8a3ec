"""`mlx-spec doctor`: `report` is what was found, as values; `command` shows it."""
