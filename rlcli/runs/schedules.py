"""Schedules that end before the run does: warnings of what then stays at 0, or at its last value."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.config.schema.run import RunConfig


def ending_schedules(config: RunConfig) -> list[str]:
    """Keys of a config whose schedule has an end."""
    algo = config.algo
    linear = {
        "algo.learning_rate": algo.learning_rate_schedule == "linear" and algo.learning_rate > 0,
        "algo.clip": algo.surrogate in ("clipped", "spo", "cispo") and algo.clip_schedule == "linear",
        "algo.beta": algo.penalty != "none" and algo.beta_schedule == "linear",
    }
    return [name for name, has_end in linear.items() if has_end]


def schedule_warnings(config: RunConfig, done: int, reference: str) -> Iterator[str]:
    """At most one warning: updates after `done` that come after the end of a schedule.

    `reference` names the run in the command that the warning suggests.
    """
    names, steps = ending_schedules(config), config.updates * config.batch_size
    horizon = config.horizon(config.updates - 1)
    first = max(done, -(-horizon // config.batch_size), *config.schedule_past[-2:-1])
    if not names or first >= config.updates:
        return
    zero = [name for name in names if name != "algo.beta"]
    still = " and ".join(f"{name}=0" for name in zero)
    effects = [f"{still}, so that {_lost(config, zero)}"] if zero else []
    effects += ["algo.beta keeps its last value"] if "algo.beta" in names else []
    which = " and ".join(f"{name}_schedule=linear" for name in names)
    yield (
        f"{which} {'ends' if len(names) == 1 else 'end'} at schedule_steps={horizon}: "
        f"from update {first + 1} on "
        f"{'; '.join(effects)}. Schedules run longer with: "
        f"rlcli resume {reference} total_steps={steps} schedule_steps={steps}"
    )


def _lost(config: RunConfig, zero: list[str]) -> str:
    """What is not learnt while these are 0."""
    if "algo.learning_rate" not in zero:
        return "the policy learns nothing"
    if config.algo.step_rule == "natural":
        return "the value function learns nothing"
    return "nothing is learnt"
