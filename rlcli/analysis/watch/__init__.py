"""Watching runs that other processes train, or that have ended."""
