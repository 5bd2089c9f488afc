"""SevenNet: NequIP-like equivariant convolutions."""
