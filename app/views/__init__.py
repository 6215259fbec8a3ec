"""The window's widgets. They show view models and call them; they decide nothing."""
