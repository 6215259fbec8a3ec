"""The command line: `main` and its `commands`, one file a command, above `terminal`, which all of them share."""
