"""Command lines: thin absl mains over jaxalign.api."""
