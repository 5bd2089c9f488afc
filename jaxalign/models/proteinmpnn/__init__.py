"""ProteinMPNN and its relatives: messages over the nearest residues of a protein backbone."""
