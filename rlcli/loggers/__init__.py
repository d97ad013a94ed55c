"""Loggers of metric rows: JSON lines on disk, the terminal, TensorBoard, Weights & Biases."""
