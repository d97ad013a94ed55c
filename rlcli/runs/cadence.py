"""Cadence of a run: after which updates it is evaluated and digested, and a checkpoint comes due.

`updates` is the number of updates done, of which the last is asked about; `last` says whether it is the run's
last. After the run's last update it is always evaluated, saved and digested. A checkpoint that has come due
may wait (`runs/saving_time.py`).
"""

from __future__ import annotations

from rlcli.config.schema.run import RunConfig

AT_THE_END_ONLY = "Evaluated at the end only"
"""Beginning of the line that says that eval.every=null was decided against evaluations before the end."""


def reached(config: RunConfig, updates: int, every: int) -> bool:
    """Whether the last update was the first to reach a multiple of `every` env steps; never for 0."""
    after = updates * config.batch_size
    before = after - config.batch_size
    return every > 0 and updates > 0 and after // every > before // every


def evaluation_due(config: RunConfig, updates: int, last: bool, every: int) -> bool:
    """Whether an evaluation follows the last update; `every` as `EvaluationSchedule` has it."""
    return config.eval.episodes > 0 and (last or reached(config, updates, every))


def video_due(config: RunConfig, updates: int, every: int) -> bool:
    """Whether the evaluation after the last update is filmed: the first to reach a multiple of video_every.

    `every` as for `evaluation_due`: the evaluation before this one followed the first update that reached the
    multiple of it before.
    """
    size, wanted = config.batch_size, config.eval.video_every
    if not wanted:
        return False
    multiple = (updates - 1) * size // every * every if every else 0
    before = -(-multiple // size) * size
    return updates * size // wanted > before // wanted


def digest_due(config: RunConfig, updates: int, last: bool) -> bool:
    """Whether the digests of the last update are written: every so many updates, and at the run's last."""
    every = config.digest.every
    return last or (every > 0 and updates % every == 0)
