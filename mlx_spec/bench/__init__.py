"""Measuring side by side: plain decoding, mlx-lm, mlx-lm's speculation and ours, on one pair in one process.

`plan` says what to measure, `contenders` are the ways of decoding, `session` runs them in turns, `summary` makes
columns out of the raw `runs`. `mlx-spec bench` shows them: nothing here knows a terminal.
"""
