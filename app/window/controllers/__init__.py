"""Where a subject meets the rest of a window: each connects its own state and widgets with those of the others."""
