"""The configs as a package (rlcli.conf), so that they are found wherever rlcli is installed."""
