"""What is learnt from runs that are trained: selected, read as columns, grouped, summarised, drawn."""
