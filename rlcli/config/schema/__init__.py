"""Configuration schema: type, default, range and meaning of every key.

Validation, `rlcli explain`, shell completion, the provenance comments of `--cfg job` and the grouping of
runs into cohorts read these declarations; no other place defines a key. A file has one
section of the configuration or a few of one purpose; `run.py` has all of them as one config, `keys.py` as a
table of keys.

`cohort=True` marks a hyperparameter that may differ between runs trained together (it becomes a tensor
`[R]`); every other key sets a shape or a schedule of events and must be equal within a cohort, unless its
`effect` is "nothing" (names, notes, logging).
"""

VERSION = 1
"""Version of the schema. A config.yaml may lack keys that were added after it was written: such a key's
default, or its `absent`, is what runs did before the key existed. A key renamed or removed raises this."""
