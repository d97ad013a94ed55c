"""Theory on trial: each claim about trust regions and importance weights, computed on small exact cases."""
