"""Policies and value functions of many runs, evaluated as one batch."""
