"""Atari games with the standard preprocessing: ale-py's vector environment, or single ones."""
