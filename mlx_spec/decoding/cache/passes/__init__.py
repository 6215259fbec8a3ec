"""Forward passes of a model that somebody else wrote: plain, compiled, over trees."""
