"""The command line: a file a verb, each thin over an importable function. Nothing here loads torch."""
