"""The array environments in torch, for a device of its own."""
