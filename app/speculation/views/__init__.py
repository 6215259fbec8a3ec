"""The panel beside the conversation, and the race."""
