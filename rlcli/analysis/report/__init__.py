"""The report: one HTML page of runs, with everything it needs inside."""
