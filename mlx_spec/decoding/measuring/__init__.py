"""What is measured of a machine before it decodes: what passes take, and how fast its memory is."""
