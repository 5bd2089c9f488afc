"""NEAR: a residual convolutional network over residues."""
