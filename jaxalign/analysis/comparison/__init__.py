"""One model against a finished run: who is nearest, how surely, and where it sits in the tree."""
