"""Atari: ale-py's vector environment, single games and Gymnasium's wrappers show the same frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from rlcli.config.schema.env import AtariConfig, EnvConfig
from rlcli.config.values import display
from rlcli.envs import registry
from rlcli.envs.atari.area import resized
from rlcli.envs.atari.settings import preprocessing
from rlcli.envs.atari.single import SingleGame
from rlcli.envs.interface import Step, Taught
from rlcli.errors import UserError

PONG, BREAKOUT = "ALE/Pong-v5", "ALE/Breakout-v5"
SEEDS = np.array([[2_000_000_011]])


def config(env_id: str = BREAKOUT, backend: str = "auto", kwargs: Any = None, **atari: Any) -> EnvConfig:
    return EnvConfig(id=env_id, num_envs=1, kwargs=kwargs or {}, backend=backend, atari=AtariConfig(**atari))


def played(chosen: EnvConfig, steps: int, training: bool = True, seeds: Any = SEEDS) -> list[Any]:
    """Observations and everything else of a fixed sequence of actions."""
    env = registry.make(chosen, 1, training=training)
    draws = np.random.default_rng(0)
    found: list[Any] = [env.reset(seeds, np.ones((1, 1), bool)).copy()]
    episode = np.zeros((1, 1), np.int64)
    for _ in range(steps):
        step = env.step(draws.integers(env.spec.action.width, size=(1, 1)))
        assert env.failures == {}
        found.append(step)
        ended = step.terminated | step.truncated
        if ended.any():
            episode += ended
            found.append(env.reset(seeds + episode, ended).copy())
    env.close()
    return found


def assert_same(left: list[Any], right: list[Any]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        pairs = (
            zip((*one, *one.lesson), (*other, *other.lesson), strict=True)
            if isinstance(one, Step)
            else [(one, other)]
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)


@pytest.mark.broken_by(
    "the second last frame is forgotten", "envs/atari/single.py", "if left == 2:", "if left == 3:",
    case="standard",
)  # fmt: skip
@pytest.mark.broken_by(
    "areas of two pixels", "envs/atari/area.py", "last, extent = first + scale", "last, extent = first + 2",
    case="standard",
)  # fmt: skip
@pytest.mark.parametrize(
    ("env_id", "atari", "kwargs", "steps"),
    [
        pytest.param(BREAKOUT, {}, {}, 150, id="standard"),
        pytest.param(PONG, {"repeat_action_probability": 0.0}, {}, 60, id="pong"),
        pytest.param(
            BREAKOUT,
            {"grayscale": False, "screen_size": 40, "frame_skip": 3, "frame_stack": 2, "noop_max": 0},
            {"full_action_space": True}, 60, id="colours",
        ),
        pytest.param(
            BREAKOUT, {"frame_skip": 1, "max_pool": False, "fire_reset": False},
            {"max_num_frames_per_episode": 50}, 60, id="cut short",
        ),
    ],
)  # fmt: skip
def test_single_games_are_the_vector_environment_frame_by_frame(env_id, atari, kwargs, steps):
    vector, single = (config(env_id, backend, kwargs, **atari) for backend in ("ale", "gymnasium"))
    assert registry.describe(vector).observation.shape == registry.describe(single).observation.shape
    assert_same(played(vector, steps), played(single, steps))


def test_single_games_are_gymnasiums_wrappers_frame_by_frame():
    """Without no-ops and FIRE, which Gymnasium's do otherwise."""
    pytest.importorskip("cv2", reason="Gymnasium's preprocessing needs OpenCV")
    gymnasium.register_envs(ale_py)
    chosen = config(noop_max=0, fire_reset=False)
    theirs = gymnasium.wrappers.FrameStackObservation(
        gymnasium.wrappers.AtariPreprocessing(gymnasium.make(BREAKOUT, frameskip=1), noop_max=0),
        4, padding_type="zero",
    )  # fmt: skip
    seed = next(s for s in range(100) if np.random.SeedSequence(s).generate_state(2)[1] < 2**31)
    own = int(np.random.SeedSequence(seed).generate_state(2)[1])
    env, draws = registry.make(replace(chosen, num_envs=1), 1), np.random.default_rng(0)
    ours, (wanted, _) = env.reset(np.array([[own]]), np.ones((1, 1), bool)), theirs.reset(seed=seed)
    for _ in range(300):
        np.testing.assert_array_equal(ours[0, 0], wanted)
        action = draws.integers(4, size=(1, 1))
        step, (wanted, reward, terminated, _, _) = env.step(action), theirs.step(int(action[0, 0]))
        assert (step.rewards[0, 0], step.terminated[0, 0]) == (reward, terminated)
        ours = step.observations
        if terminated:
            ours, (wanted, _) = env.reset(np.array([[own]]), np.ones((1, 1), bool)), theirs.reset(seed=seed)


def test_an_episode_depends_on_its_seed_and_actions_alone():
    """After other games, in another place, with more threads: what a resume relies on."""
    chosen = config()
    alone = played(chosen, 40)
    env = registry.make(replace(chosen, atari=AtariConfig(threads=2)), 1, training=True)
    env.reset(SEEDS + 5, np.ones((1, 1), bool))
    for _ in range(30):
        env.step(np.array([[3]]))
    draws = np.random.default_rng(0)
    found: list[Any] = [env.reset(SEEDS, np.ones((1, 1), bool)).copy()]
    found += [env.step(draws.integers(4, size=(1, 1))) for _ in range(40)]
    assert_same(alone, found)


@pytest.mark.broken_by(
    "a lost life does not end anything", "envs/atari/lesson.py", "(after < before)", "(after < 0)",
    case="ale",
)  # fmt: skip
@pytest.mark.parametrize("backend", ["ale", "gymnasium"])
def test_a_lost_life_ends_what_is_learnt_and_nothing_else(backend):
    """A game of Breakout has five lives: four that are learnt as ends, then its own."""
    chosen = config(backend=backend, sign_reward=False, frame_skip=12)
    steps = [one for one in played(chosen, 150) if isinstance(one, Step)]
    first = next(t for t, step in enumerate(steps) if step.terminated[0, 0])
    lost = [bool(step.lesson.terminated[0, 0]) for step in steps[: first + 1]]
    assert sum(lost) == 5
    assert sum(bool(step.terminated[0, 0]) for step in steps[: first + 1]) == 1
    plain = registry.make(replace(chosen, atari=replace(chosen.atari, episodic_life=False)), 1, training=True)
    plain.reset(SEEDS, np.ones((1, 1), bool))
    for _ in range(60):
        step = plain.step(np.array([[1]]))
        np.testing.assert_array_equal(step.lesson.terminated, step.terminated)


@pytest.mark.broken_by(
    "the score is hidden", "envs/atari/vector.py", "reward_clipping=False", "reward_clipping=True",
)  # fmt: skip
@pytest.mark.broken_by(
    "the score is learnt", "envs/atari/lesson.py", "np.sign(step.rewards)", "step.rewards",
)  # fmt: skip
def test_the_sign_of_a_reward_is_learnt_and_the_score_kept():
    steps = [one for one in played(config("ALE/MsPacman-v5", frame_skip=8), 60) if isinstance(one, Step)]
    rewards = np.stack([step.rewards for step in steps])
    assert rewards.max() >= 10
    np.testing.assert_array_equal(np.stack([step.lesson.rewards for step in steps]), np.sign(rewards))


def test_evaluation_has_the_game_itself():
    for one in played(config(), 5, training=False):
        assert not isinstance(one, Taught)


def test_the_smallest_repeated_actions_come_from_the_id_or_the_key():
    from rlcli.envs.atari.settings import preprocessing

    assert preprocessing(config()).repeat_action_probability == 0.25
    assert preprocessing(config(repeat_action_probability=0.0)).repeat_action_probability == 0.0
    given = {"repeat_action_probability": 0.1}
    assert preprocessing(config(kwargs=given)).repeat_action_probability == 0.1


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (config(kwargs={"frameskip": 2}), "frameskip of ALE/Breakout-v5 would be applied on top"),
        (config(kwargs={"repeat_action_probability": 0.1}, repeat_action_probability=0.2), "same setting"),
        (config(kwargs={"max_num_frames_per_episode": 0}), "give a number from 1 on"),
        (config(backend="ale", kwargs={"difficulty": 1}), "has no argument difficulty"),
        (config(backend="array"), "no array version of ALE/Breakout-v5"),
        (config("CartPole-v1", backend="ale"), "CartPole-v1 is not an Atari game"),
        (replace(config(backend="ale"), wrappers=("OrderEnforcing",)),
         "env.backend=ale cannot step ALE/Breakout-v5 with env.wrappers=.OrderEnforcing.: wrappers are"),
        (config(backend="ale", kwargs={"obs_type": "ram"}), "obs_type asks for the game without"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(chosen, message):
    with pytest.raises(UserError, match=message):
        registry.describe(chosen)


def test_a_difficulty_is_played_by_single_games():
    spec = registry.describe(config(kwargs={"difficulty": 1}))
    assert spec.backend == "gymnasium"
    assert "difficulty" in str(spec.backend_reason)
    assert spec.exact_resume


LIMITED: Any = {"TimeLimit": {"max_episode_steps": 40}}


@pytest.mark.broken_by(
    "games without their wrappers",
    "envs/registry.py",
    "return SingleGames(spec, settings, create, num_runs",
    "return SingleGames(spec, settings, _bare(config), num_runs",
)
@pytest.mark.broken_by(
    "lives that wrappers hide",
    "envs/atari/single.py",
    'layer = getattr(layer, "env", None)',
    "layer = None",
)
def test_wrappers_are_around_the_preprocessed_game():
    """The same frames, rewards and lives; a wrapper's own end."""
    plain = config(backend="ale", frame_skip=12)
    wrapped = replace(plain, backend="auto", wrappers=(LIMITED,))
    spec = registry.describe(wrapped)
    assert (spec.backend, spec.max_episode_steps, spec.exact_resume) == ("gymnasium", 40, True)
    assert spec.backend_reason == f"env.wrappers={display((LIMITED,))} wraps its environment"
    assert registry.describe(replace(plain, wrappers=(), backend="gymnasium")).max_episode_steps == 9000
    _, *steps, last, _ = found = played(wrapped, 40)
    assert_same(found[:-2], played(plain, 39))
    assert any(step.lesson.terminated.any() for step in steps)
    assert [bool(step.truncated.all()) for step in (*steps, last)] == [False] * 39 + [True]


def test_a_wrapper_gives_masks_to_a_game():
    chosen = replace(config(), wrappers=("tests.envs.wrapped:FewerActions",), action_mask="info")
    env = registry.make(chosen, 1)
    seen = env.reset(SEEDS, np.ones((1, 1), bool))
    assert seen.shape == (1, 1, 4 * 84 * 84 + 4)
    assert seen[0, 0, -4:].tolist() == [1, 1, 0, 0]
    step = env.step(np.array([[1]]))
    assert env.failures == {}
    assert step.observations[0, 0, -4:].tolist() == [1, 1, 0, 0]
    with pytest.raises(UserError, match="which its reset does not give"):
        registry.describe(replace(chosen, wrappers=()))


def test_a_resized_frame_has_the_mean_of_each_area():
    frame = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(resized(frame, 2, 3), [[4, 6, 8], [16, 18, 20]])  # 3.5, 5.5, 7.5, ...
    assert resized(np.full((210, 160), 137, np.uint8), 84, 84).min() == 137


@pytest.mark.broken_by(
    "no-ops after FIRE are one too many", "envs/atari/single.py", "noop_max) - self._fires", "noop_max)"
)
@pytest.mark.parametrize("fires", [True, False])
def test_a_game_starts_with_as_many_frames_as_ale_pys(fires: bool) -> None:
    """FIRE is one of the frames that are drawn, except where none is drawn."""
    seeds = np.arange(12)
    games = AtariVectorEnv("breakout", len(seeds), noop_max=3, use_fire_reset=fires)
    wanted = games.reset(seed=seeds)[1]["episode_frame_number"].tolist()
    settings = preprocessing(config(fire_reset=fires, noop_max=3))
    game = SingleGame(gymnasium.make(BREAKOUT, frameskip=1).unwrapped, settings)
    found = []
    for seed in seeds.tolist():
        game.reset(seed=seed)
        found.append(game.unwrapped.ale.getEpisodeFrameNumber())
    assert found == wanted
    assert len(set(found)) > 1
