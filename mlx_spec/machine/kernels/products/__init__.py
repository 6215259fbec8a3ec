"""Products of a few rows with a model's weights, whose rows do not see each other: the kernel, and the layers."""
