"""The page of one model against a run."""
