"""Classic-control environments batched in numpy over all runs, bit for bit equal to Gymnasium's."""
