"""ANI: atomic environment vectors and one small network an element."""
