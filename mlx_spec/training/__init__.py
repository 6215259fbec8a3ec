"""Making drafts and heads for a target: the target writes `answers`, a draft (`distill`) or `heads` learn from them.

Trainers stand in `on_mlx` and, optional and faster on some CPUs, in `on_torch`; what the two share knows NumPy only.
What came of it is measured against the target's distributions (`evaluate`, `heads.chains`) and by decoding for real
(`rounds`, `experience`), and exported in the layouts that mlx-lm and the papers publish.
"""
