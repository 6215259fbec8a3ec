"""What clients send: bodies, fields, messages, each checked before the engine hears of it."""
