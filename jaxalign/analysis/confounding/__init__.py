"""Whether an alignment says more than composition, size and width do."""
