"""How long work takes, where it spends the time, and what it cannot take less than."""
