"""Models to find, judge, fetch, load and import, as plain state and signals. Its widgets are in `views`."""
