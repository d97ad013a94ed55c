"""Kernels in C for the hot path, their build and their dispatch; torch is the reference they are tested against."""
