"""Language models over SMILES, protein sequences and text."""
