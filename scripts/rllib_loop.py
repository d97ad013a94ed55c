"""RLlib's IMPALA on CartPole-v1, to compare speeds with: prints its env steps per second as JSON.

    python scripts/rllib_loop.py --runners 2 --seconds 10

The work is that of `scripts/actors_speed.py`: two tanh networks of 64-64, 8 environments per runner, unrolls
of 20 steps, an update on each unroll of 160 samples, V-trace. RLlib is not among the packages of this
project: `make actors-speed ARGS='--rllib-python PATH'` takes it from an interpreter that has it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from typing import Any

NUM_ENVS, STEPS = 8, 20
HIDDEN = (64, 64)


def algorithm(runners: int, updates_between: float) -> Any:
    """The algorithm with its runners; a call of `train` returns after so many seconds."""
    from ray.rllib.algorithms.impala import IMPALAConfig

    config = (
        IMPALAConfig()
        .environment("CartPole-v1")
        .env_runners(
            num_env_runners=runners, num_envs_per_env_runner=NUM_ENVS, rollout_fragment_length=STEPS,
            num_cpus_per_env_runner=0,
        )
        .learners(num_learners=0)
        .training(
            train_batch_size_per_learner=NUM_ENVS * STEPS, lr=7e-4, gamma=0.99, grad_clip=0.5,
            vf_loss_coeff=0.5, entropy_coeff=0.0,
        )
        .rl_module(
            model_config={"fcnet_hiddens": list(HIDDEN), "fcnet_activation": "tanh", "vf_share_layers": False}
        )
        .reporting(min_time_s_per_iteration=updates_between)
        .debugging(seed=0, log_level="ERROR")
    )  # fmt: skip
    return config.build_algo()


def sampled(result: dict[str, Any]) -> int:
    """Env steps that runners have made so far, as the algorithm knows."""
    return int(result.get("env_runners", {}).get("num_env_steps_sampled_lifetime", 0))


def trained(result: dict[str, Any]) -> int:
    """Env steps that were learnt from so far."""
    learner = result.get("learners", {}).get("__all_modules__", {})
    return int(learner.get("num_env_steps_trained_lifetime", 0))


def main() -> None:
    """Train for some seconds, after a quarter of them that does not count, and print the speed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runners", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False,
        object_store_memory=200_000_000, logging_level=logging.ERROR,
    )  # fmt: skip
    built = algorithm(options.runners, options.seconds / 8)
    try:
        begun, first = time.perf_counter(), built.train()
        while time.perf_counter() - begun < options.seconds / 4 or sampled(first) == 0:
            first = built.train()
        begun = time.perf_counter()
        while time.perf_counter() - begun < options.seconds:
            last = built.train()
        spent = time.perf_counter() - begun
    finally:
        built.stop()
    steps = [sampled(result) for result in (first, last)]
    learnt = [trained(result) for result in (first, last)]
    found = {
        "sampled": (steps[1] - steps[0]) / spent, "learnt": (learnt[1] - learnt[0]) / spent,
        "seconds": spent, "ray": ray.__version__,
    }  # fmt: skip
    print(json.dumps(found))
    ray.shutdown()


if __name__ == "__main__":
    main()
