"""The user's own code: networks, algorithms and metrics that a module registers, and the import of modules.

`register` has what a module calls (`rlcli.register_network` and so on), `load` imports modules that the user
names, `tables` has the functions that were registered, `faults` what they did wrong while training.
"""
