"""MiniMol: a graph network with a virtual node, trained on thousands of molecular tasks."""
