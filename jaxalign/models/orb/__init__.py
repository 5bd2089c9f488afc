"""Orb: attention over the edges of a graph of atoms, without built-in symmetry."""
