"""Several machines under one target: which they are, how their ranks start, hear of each other, and end."""
