"""The way to the engine: its process, what is said over HTTP, and what comes back as values. Knows no widget."""
