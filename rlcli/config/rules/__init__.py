"""Rules between keys, on a composed configuration. Pure: nothing of the machine is looked at."""
