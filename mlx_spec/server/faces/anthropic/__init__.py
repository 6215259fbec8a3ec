"""`/v1/messages`: Anthropic's protocol, of messages that are made of blocks."""
