"""Comparison of groups of runs: scores, intervals over seeds, pairs, health, profiles, published figures."""
