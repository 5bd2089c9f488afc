"""Figures and tables of the analyses: one file a subject, each drawn for the page and for paper."""
