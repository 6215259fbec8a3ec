"""What all commands share: options, consent, console, tables, JSON."""
