"""Plots of runs: curves over training, health, and slices of sweeps, as a picture or as text."""
