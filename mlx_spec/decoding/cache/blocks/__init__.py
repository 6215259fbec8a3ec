"""What was read of texts, in blocks that texts share."""
