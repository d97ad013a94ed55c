"""From composed configurations to finished runs: one by one, or as the jobs of a sweep."""
