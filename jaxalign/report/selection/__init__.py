"""The page of a selection: which encoder for which task, and how far one can trust such choices."""
