"""Training with PyTorch, which is faster on CPUs. Optional."""
