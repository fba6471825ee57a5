"""Training data, loop, evaluation."""
