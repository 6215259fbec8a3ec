"""The open chat and the list of chats, as plain state and signals. Its widgets are in `views`."""
