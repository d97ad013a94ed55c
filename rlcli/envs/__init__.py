"""Vectorised environments: one interface over Gymnasium's environments and our batched ones."""
