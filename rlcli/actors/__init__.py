"""Actors: processes on this machine that step environments for the one that learns."""
