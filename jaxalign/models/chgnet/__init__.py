"""CHGNet: atoms, bonds and angles of crystals."""
