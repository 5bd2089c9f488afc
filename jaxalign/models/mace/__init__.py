"""MACE: higher-order equivariant messages."""
