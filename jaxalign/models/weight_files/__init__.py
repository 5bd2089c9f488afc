"""Weight files, read without executing anything in them."""
