"""Small Flax networks of different inductive bias, made to be trained here."""
