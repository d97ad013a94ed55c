"""Training of composed configurations: a single run, or the jobs of a sweep."""
