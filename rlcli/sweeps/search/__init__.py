"""Searches: sweeps whose trials a sampler of Optuna's proposes."""
