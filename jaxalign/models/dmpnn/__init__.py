"""D-MPNN: directed messages over the bonds of molecular graphs."""
