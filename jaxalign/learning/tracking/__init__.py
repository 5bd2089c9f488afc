"""Checkpoints of training as encoders: rows of an alignment like any other model."""
