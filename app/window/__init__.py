"""A window: it puts the rooms together, and what all windows share."""
