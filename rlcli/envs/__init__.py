"""Environments: one vector interface over Gymnasium's and our own."""
