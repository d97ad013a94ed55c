"""Rollouts and evaluation of policies in environments."""
