"""Published claims about the convergence of models of matter, tested on the runs of a study."""
