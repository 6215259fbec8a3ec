"""Answers by a schema: ours with drafts, ours without, and mlx-lm's plain decoding with the same masks."""
