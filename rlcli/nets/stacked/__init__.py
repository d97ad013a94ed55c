"""Stacked multilayer perceptrons: networks of R runs as one batch of products, passes written out."""
