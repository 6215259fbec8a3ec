"""Logprobs: what the target itself takes the probability of each token to be. Nothing runs unless somebody asked."""
