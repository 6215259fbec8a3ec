"""One answer: its markdown piece by piece, or its tokens, and what can be done with it."""
