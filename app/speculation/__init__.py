"""How an answer was speculated: its rounds, what they add up to, a replay and a race. Its widgets are in `views`."""
