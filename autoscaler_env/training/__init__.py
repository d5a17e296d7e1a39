"""Train a learner, keep checkpoints and the best model, go on after a kill, and say how the model was made."""
