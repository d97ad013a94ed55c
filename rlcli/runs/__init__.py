"""Training, resuming, reproducing, evaluating and comparing runs."""
