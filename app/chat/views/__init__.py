"""A chat's widgets: the conversation, its questions, the sidebar, and how its answers are made."""
