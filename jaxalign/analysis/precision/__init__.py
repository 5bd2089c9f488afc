"""How far scores depend on the number of structures; which differences between them are real."""
