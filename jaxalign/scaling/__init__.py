"""How the engine's stages scale: points of a sweep, what runs at each, and the measured table."""
