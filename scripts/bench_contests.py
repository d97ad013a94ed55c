"""What `make bench` compares: the same work done by a peer, by rlcli, and in one case by a jitted JAX loop.

Shapes of LunarLander-v3 and Pendulum-v1 are those of RL Baselines3 Zoo (hyperparams/ppo.yml of
DLR-RM/rl-baselines3-zoo: LunarLander-v2, and Pendulum-v1 without its state-dependent exploration, which rlcli
does not have). All networks are two of 64-64 tanh, the peers' default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

SEEDS = 32
SB3, SB3_CONTRIB, JAX = "stable-baselines3", "sb3-contrib", "JAX loop"
IN_C, IN_TORCH, ON_GYMNASIUM = "rlcli", "rlcli, kernel=torch", "rlcli, Gymnasium's environment"
SETTINGS = {
    IN_C: ("compute.kernel=c",),
    IN_TORCH: ("compute.kernel=torch",),
    ON_GYMNASIUM: ("compute.kernel=c", "env.backend=gymnasium"),
}
"""Contestants that are rlcli, and what their commands end in."""


class Work(NamedTuple):
    """An algorithm with its sizes on an environment."""

    env: str
    num_envs: int
    rollout_steps: int
    epochs: int = 4
    minibatch: int = 0
    """Samples; 0: a quarter of the batch."""
    learning_rate: float = 3e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy_coef: float = 0.0
    algo: str = "ppo"

    @property
    def batch(self) -> int:
        """Steps of an update."""
        return self.num_envs * self.rollout_steps

    @property
    def samples(self) -> int:
        """Of a minibatch."""
        return self.minibatch or self.batch // 4

    @property
    def command(self) -> tuple[str, ...]:
        """Ours, without the kernel, the length and the place."""
        if self == BENCHMARK_SHAPE:
            return ("train", "experiment=benchmark_shape")
        own: tuple[str, ...] = ()
        if self.algo == "ppo":
            own = (
                f"algo.epochs={self.epochs}",
                f"algo.minibatches={self.batch // self.samples}",
                f"algo.learning_rate={self.learning_rate:g}",
                f"algo.gamma={self.gamma:g}",
                f"algo.gae_lambda={self.gae_lambda:g}",
                f"algo.entropy_coef={self.entropy_coef:g}",
            )
        sizes = f"env.num_envs={self.num_envs}", f"algo.rollout_steps={self.rollout_steps}"
        none = "eval.every=0", "eval.episodes=0"
        return ("train", f"algo={self.algo}", f"env={self.env}", "tuned=none", *sizes, *own, *none)

    def peer(self) -> OnPolicyAlgorithm:
        """The peer's algorithm, with its own defaults where the command has the same."""
        from stable_baselines3.common.env_util import make_vec_env

        envs = make_vec_env(self.env, self.num_envs)
        if self.algo == "trpo":
            # All defaults but the length of a rollout; conf/algo/trpo.yaml has the same: 10 epochs of
            # minibatches of 128 for values, at most 15 iterations of conjugate gradients on the whole batch,
            # at most 10 candidates of the line search.
            from sb3_contrib import TRPO

            return TRPO("MlpPolicy", envs, n_steps=self.rollout_steps, device="cpu")
        import torch
        from stable_baselines3 import PPO

        return PPO(
            "MlpPolicy",
            envs,
            n_steps=self.rollout_steps,
            batch_size=self.samples,
            n_epochs=self.epochs,
            learning_rate=self.learning_rate,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            ent_coef=self.entropy_coef,
            policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.Tanh},
            device="cpu",
        )


class Contest(NamedTuple):
    """Work, and who does it; the first is the peer that the others are compared with."""

    about: str
    work: Work
    contestants: tuple[str, ...]
    runs: int = 1
    """Seeds that rlcli trains as one cohort, and the JAX loop side by side."""
    profiled: bool = False
    """Whether it is measured where the time goes."""


BENCHMARK_SHAPE = Work("CartPole-v1", 8, 128, learning_rate=2.5e-4)
CARTPOLE = BENCHMARK_SHAPE._replace
CHEETAH = Work("HalfCheetah-v5", 8, 256, 10, 64)
TWO, TWO_TRPO = (SB3, IN_C), (SB3_CONTRIB, IN_C)

CONTESTS = {
    "W1": Contest(
        "PPO, CartPole-v1, 8 x 128, 4 epochs of 4 minibatches",
        BENCHMARK_SHAPE,
        (SB3, IN_C, IN_TORCH, ON_GYMNASIUM, JAX),
        profiled=True,
    ),
    "W1x32": Contest(
        f"the same, {SEEDS} seeds as a cohort on one core", BENCHMARK_SHAPE, (SB3, IN_C, JAX), SEEDS
    ),
    "512x128": Contest(
        "PPO, CartPole-v1, 512 x 128, 4 epochs of 4 minibatches",
        CARTPOLE(num_envs=512, rollout_steps=128),
        TWO,
    ),
    "2048x32": Contest(
        "PPO, CartPole-v1, 2048 x 32, 4 epochs of 4 minibatches",
        CARTPOLE(num_envs=2048, rollout_steps=32),
        TWO,
    ),
    "minibatches-of-64": Contest(
        "PPO, CartPole-v1, 8 x 128, 4 epochs, minibatches of 64", CARTPOLE(minibatch=64), TWO
    ),
    "halfcheetah": Contest(
        "PPO, HalfCheetah-v5, 8 x 256, 10 epochs, minibatches of 64", CHEETAH, TWO, profiled=True
    ),
    "lunarlander": Contest(
        "PPO, LunarLander-v3, 16 x 1024, 4 epochs, minibatches of 64",
        Work("LunarLander-v3", 16, 1024, 4, 64, 3e-4, 0.999, 0.98, 0.01),
        TWO,
    ),
    "pendulum": Contest(
        "PPO, Pendulum-v1, 4 x 1024, 10 epochs, minibatches of 64",
        Work("Pendulum-v1", 4, 1024, 10, 64, 1e-3, 0.9),
        TWO,
    ),
    "trpo-cartpole": Contest(
        "TRPO, CartPole-v1, 8 x 256", Work("CartPole-v1", 8, 256, algo="trpo"), TWO_TRPO
    ),
    "trpo-halfcheetah": Contest(
        "TRPO, HalfCheetah-v5, 8 x 256", Work("HalfCheetah-v5", 8, 256, algo="trpo"), TWO_TRPO
    ),
}
"""Numbers like 8 x 128 are environments x steps of a rollout."""
