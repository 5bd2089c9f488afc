"""What a sample is: records, readers of files, named data sets. Host only."""
