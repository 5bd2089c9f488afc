"""Rows of numbers with ids: extraction under jit, the store, file formats, normalisation."""
