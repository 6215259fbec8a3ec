"""The panel's charts, painted by hand."""
