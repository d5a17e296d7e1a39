"""Check model files: does each one load, choose actions and play test days, and what does it cost?

Each file is read in a child process with limits on memory and time, so a bad file gets a verdict and cannot stop the
check of the others.
"""
