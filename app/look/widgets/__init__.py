"""Small widgets that any subject may use."""
