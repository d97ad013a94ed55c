"""Rollouts and evaluation: how a policy meets environments."""
