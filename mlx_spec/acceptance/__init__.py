"""Which drafted tokens stand, and which token follows them: the rules, for chains and for trees. Pure functions.

`verify` is the whole of it for a caller who holds probabilities and wants plain numbers.
"""

from mlx_spec.acceptance.chain_rules import VerificationResult, verify

__all__ = ["VerificationResult", "verify"]
