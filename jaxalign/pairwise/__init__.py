"""N x N work in tiles, never whole: neighbors of rows under exact rules."""
