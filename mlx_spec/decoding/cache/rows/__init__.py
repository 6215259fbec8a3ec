"""How many rows a pass of a model may have so that each has the bits that it has alone: measured, kept, told."""
