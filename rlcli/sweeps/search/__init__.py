"""Sweeps whose trials a sampler proposes: Optuna's study, its samplers and pruners, and the loop around them."""
