"""UniRep: multiplicative LSTMs over residues."""
