"""Keys of the environment, and of the preprocessing of Atari games."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlcli.config.declaration import key


@dataclass(frozen=True)
class AtariConfig:
    """Preprocessing of Atari games (env=ALE/...); for other environments these keys are refused."""

    noop_max: int = key(
        30,
        "Bound of the frames without an action at the start of a game, whose number is drawn from 0 to "
        "noop_max - 1; fire_reset takes the place of the first. 0: none.",
        unit="frames", ge=0, le=10_000,
    )  # fmt: skip
    frame_skip: int = key(
        4, "Frames that each action is repeated for; it replaces the id's own.", unit="frames", ge=1, le=1_000
    )
    max_pool: bool = key(
        True, "Show the maximum of each pixel over the last two frames, as games draw some things on every "
        "other frame.",
    )  # fmt: skip
    episodic_life: bool = key(
        True,
        "A lost life terminates in what is learnt, while the game goes on; never in evaluation, nor in the "
        "returns that are logged, which are those of whole games.",
    )
    fire_reset: bool = key(True, "Press FIRE at the start of a game that has this action.")
    screen_size: int = key(84, "Height and width of a frame once resized.", unit="pixels", ge=16, le=160)
    grayscale: bool = key(True, "One channel per frame, its luminance, rather than three.")
    frame_stack: int = key(4, "Frames in an observation, the last ones.", unit="frames", ge=1, le=64)
    sign_reward: bool = key(
        True, "Learn from the sign of each reward; returns that are logged, and evaluation, are raw."
    )
    repeat_action_probability: float | None = key(
        None,
        "Probability that a frame repeats the action before; null: the id's own, 0.25 for v5.",
        ge=0, lt=1,
    )  # fmt: skip
    threads: int = key(
        1, "Threads of ale-py that step the games of one run; they change no result.", ge=1, le=1_024,
        effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class EnvConfig:
    """Environment, number of copies, and normalisation."""

    id: str = key("CartPole-v1", "A Gymnasium id, or module:Id to import the module first.")
    num_envs: int = key(8, "N: environments stepped in parallel by each run.", ge=1)
    kwargs: dict[str, Any] = key({}, "Arguments of the environment's constructor.")  # noqa: RUF009
    wrappers: tuple[str | dict[str, Any], ...] = key(
        (),
        "Wrappers around each environment, the innermost first: hide_velocities; a class of "
        "gymnasium.wrappers; or module:Class of your own. With arguments: {NAME: {argument: value}}. Any "
        "wrapper makes Gymnasium step the environment.",
    )
    backend: str = key(
        "auto",
        "Implementation. array: rlcli's batched numpy version, bit for bit equal to Gymnasium's; "
        "gymnasium: the library itself; mujoco, box2d: MuJoCo, and Box2D's LunarLander, stepped without "
        "Gymnasium's code, equal bit for bit; ale: ale-py's own vector environment, equal frame by frame; "
        "auto: one of these where there is one, else gymnasium; torch: array's equations on `device`, "
        "equal within a tolerance, for training (evaluation uses array).",
        choices=("auto", "gymnasium", "array", "mujoco", "box2d", "ale", "torch"),
        effect="maybe",
    )
    action_mask: str = key(
        "none",
        "Mask of Discrete or MultiDiscrete actions; those that are not allowed have probability 0. info: "
        "info['action_mask'] of each reset and step; observation.NAME: that member of Dict observations, "
        "which the network does not see then; none: every action is allowed.",
        choices=("none", "info"),
        prefix="observation.",
    )
    normalize_observation: bool = key(
        False,
        "Whiten observations by running mean and variance, in float64; one-hot and binary entries are kept.",
    )
    normalize_reward: bool = key(
        False, "Divide rewards by the running standard deviation of the discounted return."
    )
    replay_limit: int = key(
        100_000, "Maximum actions saved per unfinished episode so that a resume can replay it.", unit="steps",
        ge=0, effect="maybe",
    )  # fmt: skip
    atari: AtariConfig = field(default_factory=AtariConfig)
