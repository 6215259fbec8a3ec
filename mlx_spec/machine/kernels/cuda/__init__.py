"""The bodies in `metal/` on an NVIDIA GPU, as far as they need no threadgroup memory: a prologue, and nothing of each.

Compiled here and run in the emulator, never on a GPU: so `MLX_SPEC_KERNELS=cuda` has to ask for it.
"""
