"""A run and its directory: manifest, checkpoints, the training loop."""
