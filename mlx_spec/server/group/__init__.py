"""The server over several machines: who answers while they are not together, and what each of their processes does."""
