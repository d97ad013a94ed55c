"""Pure functions of tensors: distributions, estimators, surrogates, health. No configuration, no I/O.

Functions are elementwise or reduce over axes they name; none of them knows of runs.
"""
