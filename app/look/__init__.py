"""How the window looks: colours, letters, icons, and the style sheet made of them."""
