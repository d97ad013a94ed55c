"""Stacked multilayer perceptrons: the networks of R runs as one batch of products, derivatives written out."""
