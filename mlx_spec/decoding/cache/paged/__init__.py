"""The memory of attention over blocks: arrays of one layer, and the table of an answer."""
