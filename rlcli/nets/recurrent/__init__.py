"""Recurrent cells and the networks around them."""
