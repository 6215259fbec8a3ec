"""One answer after the other out of rounds: drafters propose, the target scores, a rule verifies, caches commit."""
