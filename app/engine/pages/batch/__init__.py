"""What the engine does for whom at this moment."""
