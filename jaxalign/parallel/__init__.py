"""Where work runs: the only room that names devices, hosts and mesh axes."""
