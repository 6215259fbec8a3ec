"""An answer as its tokens: each in the style of its kind, with what is known of it."""
