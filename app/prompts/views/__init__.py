"""The composer and all that goes with it: chips, forms, the queue's window, the welcome page."""
