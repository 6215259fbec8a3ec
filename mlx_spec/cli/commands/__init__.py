"""A file for each command; a folder with `command.py` in it where a command has several, with `app.py` for a group."""
