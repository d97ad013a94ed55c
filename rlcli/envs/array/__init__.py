"""Environments as numpy arrays over all runs at once, bit for bit Gymnasium's."""
