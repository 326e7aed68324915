"""Training: one loop for every native method."""
