"""Who trains the cohorts of a sweep: one file each. What each can be told is in rlcli/config/launchers.py."""
