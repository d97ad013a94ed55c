"""Kernels in C for the hot path: build, dispatch and calls. They are tested against the torch code."""
