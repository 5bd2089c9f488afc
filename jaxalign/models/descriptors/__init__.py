"""Descriptors and controls without weights."""
