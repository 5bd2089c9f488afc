"""How models stand to each other: families, trees, regimes, maps, accuracy."""
