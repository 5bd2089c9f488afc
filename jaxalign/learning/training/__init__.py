"""Training of the small networks: data in, checkpoints and curves out, the same bits every time."""
