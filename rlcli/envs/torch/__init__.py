"""Classic-control environments batched in torch, stepped on the training device."""
