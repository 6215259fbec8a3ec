"""Ways to guess the next tokens cheaply, behind one protocol."""
