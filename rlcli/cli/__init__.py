"""Command line of rlcli: one file per verb, thin over importable functions. Nothing here loads torch."""
