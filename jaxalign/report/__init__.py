"""What people look at: plots, tables, one HTML page."""
