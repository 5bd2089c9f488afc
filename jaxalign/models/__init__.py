"""Encoders: Flax networks with real weights, their inputs of fixed shape, their cards."""
