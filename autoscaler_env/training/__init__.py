"""Training: configurations, the three learners, and the files that a training leaves."""
