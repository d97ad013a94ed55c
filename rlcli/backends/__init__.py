"""Backends: each is a `Session` of runs trained together."""
