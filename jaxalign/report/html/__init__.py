"""One self-contained HTML file: template, style and scripts."""
