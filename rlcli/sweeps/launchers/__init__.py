"""Launchers, which train the cohorts of a sweep; their settings are declared in rlcli/config/launchers.py."""
