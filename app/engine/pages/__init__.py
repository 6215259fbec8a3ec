"""What the engine tells of itself while somebody looks."""
