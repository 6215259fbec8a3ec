"""EAGLE-3 and Medusa heads: recipes, batches, starting weights and export; the same for every trainer."""
