"""Where rows go: the record on disk, the terminal, TensorBoard, Weights & Biases."""
