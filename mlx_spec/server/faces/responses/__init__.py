"""`/v1/responses`: OpenAI's newer protocol, of items and of events with a name each."""
