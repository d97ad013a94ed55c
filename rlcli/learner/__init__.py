"""The algorithm table and the one update that all algorithms share."""
