"""`/api/…`: Ollama's protocol, of JSON objects a line each."""
