"""SO3LR: an equivariant transformer with long-range energies."""
