"""Several machines under one engine: those on the network, those in its group, and the commands that find them."""
