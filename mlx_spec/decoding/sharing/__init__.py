"""What the rounds of a step have in common: the rows of the pass that scores them, and what it teaches."""
