"""Does alignment rise as networks train and grow? Trajectories, slopes and exceptions."""
