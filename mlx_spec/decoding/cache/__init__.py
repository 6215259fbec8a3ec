"""Keys and values of processed tokens, and how a round takes back what it should not have added."""
