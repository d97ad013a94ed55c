"""Who trains: each backend is a `Session` of runs trained together."""
