"""Audit of a run: a verdict on every update, invariants, what preceded the worst fall, and advice."""
