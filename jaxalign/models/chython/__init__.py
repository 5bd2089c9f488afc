"""The graph transformer of chython-rxnmap, trained to follow atoms through reactions."""
