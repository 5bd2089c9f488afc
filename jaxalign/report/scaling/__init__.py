"""The page of a scaling sweep."""
