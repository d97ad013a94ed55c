"""Actors: processes of this machine or of a Ray cluster that step environments for the one that learns."""
