"""Masks that environments give: how they are read, and what is refused with which message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.boundary import read_reset, read_step, read_steps
from rlcli.envs.masks import ActionMask
from rlcli.envs.registry import describe, make
from rlcli.envs.spec import ObservationSpec
from rlcli.errors import UserError
from tests.envs.pixel_probes import Flash

CORRIDOR, DOORS = "tests.envs.probes:ProbeCorridor-v0", "tests.envs.probes:ProbeDoors-v0"
ONE, TWO, EVEN = ActionMask((4,)), ActionMask((2, 3)), ActionMask((2, 2))


def corridor(**kwargs: Any) -> EnvConfig:
    return EnvConfig(id=CORRIDOR, kwargs=kwargs, action_mask="info")


@pytest.mark.parametrize(
    ("mask", "given", "wanted"),
    [
        (ONE, np.array([1, 0, 1, 0], np.int8), [1, 0, 1, 0]),
        (ONE, [True, False, False, True], [1, 0, 0, 1]),
        (ONE, (1.0, 0.0, 0.0, 0.0), [1, 0, 0, 0]),
        (TWO, np.array([1, 0, 0, 1, 1]), [1, 0, 0, 1, 1]),
        (TWO, (np.array([0, 1], np.int8), np.array([1, 0, 0], np.int8)), [0, 1, 1, 0, 0]),
        (TWO, [[1, 1], [0, 0, 1]], [1, 1, 0, 0, 1]),
        (EVEN, np.array([[1, 0], [0, 1]]), [1, 0, 0, 1]),
    ],
)
def test_masks_of_any_form_become_columns(mask, given, wanted):
    found = mask.columns(given)
    assert found.dtype == bool
    assert found.tolist() == [bool(one) for one in wanted]


EXPECTED = "info['action_mask'] should be an array of"


@pytest.mark.parametrize(
    ("mask", "given", "message"),
    [
        (ONE, np.ones(3), f"{EXPECTED} 4 zeros and ones, one for each choice; it is array([1., 1., 1.]), "
         "an array of shape (3,) and type float64"),
        (ONE, np.ones((1, 4)), EXPECTED), (ONE, None, EXPECTED), (ONE, "1010", EXPECTED),
        (ONE, np.array([1, 2, 0, 0]), EXPECTED), (ONE, np.array([1, -1, 0, 0]), EXPECTED),
        (ONE, np.array([1, np.nan, 0, 0]), EXPECTED), (ONE, [1, 0.5, 0, 0], EXPECTED),
        (ONE, np.array([1, 0, 0, 0], complex), EXPECTED), (ONE, np.array([1, None, 0, 0]), EXPECTED),
        (ONE, [[1, 0], [1, 0, 1]], EXPECTED), (ONE, np.zeros(4), "should allow at least one choice; it is"),
        (TWO, [[1, 1, 1], [0, 1]], EXPECTED), (TWO, np.ones((2, 2)), EXPECTED), (TWO, [], EXPECTED),
        (TWO, [1, 0, 0, 0, 0], "should allow at least one choice for element 1 of the action"),
    ],
)  # fmt: skip
def test_other_masks_are_refused(mask, given, message):
    with pytest.raises(ValueError, match="should") as error:
        mask.columns(given)
    assert message in str(error.value)
    assert not (isinstance(given, np.ndarray) and mask.fits(given[None]))


@pytest.mark.broken_by(
    "the fast reading takes rows that allow nothing",
    "envs/masks.py",
    "return bool(((masks == 1) | ~allowed).all()) and not self._blocked(allowed).any()",
    "return bool(((masks == 1) | ~allowed).all())",
)
def test_many_results_are_read_as_one_is():
    """Over all masks of small numbers, the fast reading of steps takes what the slow one takes."""
    spec = ObservationSpec("box", (1,), np.dtype(np.float32)).with_mask(ActionMask((2,)))
    for first in (0, 1, 2):
        for second in (0, 1):
            for ended in (False, True):
                info = {"action_mask": np.array([first, second])}
                result = (np.array([7], np.float32), 0.5, ended, False, info)
                out = (np.zeros((1, 3), np.float32), np.zeros(1), np.zeros(1, bool), np.zeros(1, bool))
                quick = read_steps(spec, [result], out)
                assert quick == (ended or (first < 2 and first + second > 0))
                if quick:
                    wanted = [7, 1, 1] if ended else [7, first, second]
                    assert out[0][0].tolist() == read_step(spec, result)[0].tolist() == wanted


def test_the_mask_of_a_last_step_is_not_needed():
    spec = ObservationSpec("box", (1,), np.dtype(np.float32)).with_mask(ActionMask((2,)))
    assert read_step(spec, (np.zeros(1, np.float32), 0.0, False, True, {}))[0].tolist() == [0, 1, 1]
    with pytest.raises(Exception, match="info should have 'action_mask'"):
        read_step(spec, (np.zeros(1, np.float32), 0.0, False, False, {}))
    with pytest.raises(Exception, match="info should have 'action_mask'"):
        read_reset(spec, (np.zeros(1, np.float32), {"mask": 1}))


@pytest.mark.parametrize(
    ("env", "features", "mask"),
    [
        (corridor(), ["box"], (4,)),
        (EnvConfig(CORRIDOR, 1, {"given": "observation"}, action_mask="observation.legal"), ["box"], (4,)),
        (EnvConfig(id=DOORS, action_mask="info"), ["box"], (3, 4)),
        (EnvConfig(id=DOORS, kwargs={"joined": False}, action_mask="info"), ["box"], (3, 4)),
        (EnvConfig(id="Taxi-v4", action_mask="info"), ["discrete"], (6,)),
    ],
    ids=["info", "observation", "multidiscrete", "a tuple", "taxi"],
)  # fmt: skip
def test_the_mask_is_at_the_end_of_observations(env, features, mask):
    spec = describe(env)
    assert spec.exact_resume, spec.inexact_reason
    assert [member.kind for member in spec.observation.members] == features
    assert spec.observation.mask is not None
    assert spec.observation.mask.sizes == mask
    assert spec.observation.shape == (spec.observation.width + sum(mask),)
    vector = make(env, 1, num_envs=3)
    observations = vector.reset(np.array([[1, 2, 3]]), np.ones((1, 3), bool))
    for _ in range(30):
        masks = observations[0, :, -sum(mask) :]
        actions = spec.observation.mask.first(masks != 0).reshape(1, 3, *spec.action.shape)
        step = vector.step(actions)
        ended = step.terminated | step.truncated
        observations = vector.reset(np.array([[4, 5, 6]]), ended) if ended.any() else step.observations
        if env.id == "Taxi-v4":
            assert (observations[0, :, :-6].sum(-1) == 1).all()
    assert vector.failures == {}


def test_an_environment_that_gives_masks_says_so():
    assert describe(EnvConfig(id=CORRIDOR)).unused_mask == "info"
    assert describe(EnvConfig(id="Taxi-v4")).unused_mask == "info"
    assert describe(corridor()).unused_mask is None
    assert describe(EnvConfig(id="CartPole-v1")).unused_mask is None


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (EnvConfig(id="CartPole-v1", action_mask="info"),
         "needs info['action_mask'], which its reset does not give"),
        (EnvConfig(id="Pendulum-v1", action_mask="info"), "is for Discrete and MultiDiscrete actions; its"),
        (EnvConfig(id="tests.envs.probes:ProbeSwitches-v0", action_mask="info"), "is for Discrete and Multi"),
        (EnvConfig(id=CORRIDOR, kwargs={"given": "observation"}, action_mask="observation.lgal"),
         "'lgal'. Did you mean 'legal'?"),
        (EnvConfig(id=CORRIDOR, action_mask="observation.legal"), "names a member of Dict observations"),
        (EnvConfig(id=CORRIDOR, kwargs={"given": "observation"}, action_mask="observation.place"),
         "of 1 numbers; its action space Discrete(4, start=2) has 4 choices"),
    ],
)  # fmt: skip
def test_masks_that_there_are_not_are_refused(env, message):
    with pytest.raises(UserError) as error:
        describe(env)
    assert message in str(error.value)


@pytest.mark.parametrize("fault", ["short", "text", "values", "nothing", "missing", "not a number"])
def test_a_bad_mask_fails_one_run_of_a_cohort(fault):
    seeds = np.array([[10, 11], [20, 21], [30, 31]])
    env, healthy = (make(corridor(**of), 3, num_envs=2) for of in ({"fault": fault, "seed": 21}, {}))
    start = np.zeros((3, 2), bool) | True
    assert (env.reset(seeds, start) == healthy.reset(seeds, start)).all()
    for number in range(1, 7):
        allowed = env._current[..., -4:] != 0
        actions = np.where(allowed[..., 1], 1, 2)
        found, wanted = env.step(actions), healthy.step(actions)
        kept = [0, 2] if number >= 3 else [0, 1, 2]
        assert (found.observations[kept] == wanted.observations[kept]).all()
        ended = wanted.terminated | wanted.truncated
        assert (env.reset(seeds, ended)[kept] == healthy.reset(seeds, ended)[kept]).all()
    assert list(env.failures) == [1]
    text = str(env.failures[1])
    assert "environment 1, step 3 of its episode 1 (reset seed 21, action" in text
    assert "'action_mask'" in text


def flash(given: str, **fields: Any) -> EnvConfig:
    mask = "info" if given == "info" else "observation.legal"
    return EnvConfig(
        id="tests.envs.probes:ProbeFlash-v0", kwargs={"given": given}, action_mask=mask, **fields
    )


def test_images_with_a_mask_are_images_still():
    image = ObservationSpec("box", (8, 6, 3), np.dtype(np.uint8))
    assert image.is_image
    found = image.with_mask(ONE)
    assert (found.shape, found.dtype, found.width) == ((144 + 4,), np.uint8, 144)
    assert [one.shape for one in found.images] == [(8, 6, 3)]
    flat = ObservationSpec("box", (8, 6), np.dtype(np.uint8)).with_mask(ONE)
    assert (flat.images, flat.dtype) == ((), np.float32)


@pytest.mark.broken_by(
    "a mask read as a number beside an image",
    "envs/spec.py",
    "observations[..., start : self.width]",
    "observations[..., start + 1 :]",
    case="observation-7",
)
@pytest.mark.parametrize(("given", "numbers"), [("info", 3), ("observation", 7), ("observation", 11)])
def test_masks_are_bytes_behind_images(given, numbers):
    """A grey image of 4 x 4, a clock in float32 or float64, three choices; both ways of reading agree."""
    spec = describe(flash(given)).observation
    if numbers == 11:
        spec = replace(spec, precise=np.dtype(np.float64)).precisely()
    assert (spec.shape, spec.dtype) == ((16 + numbers,), np.uint8)
    env = Flash(given=given)
    results = []
    env.reset(seed=3)
    for _ in range(2):
        results.append(env.step(0))
    out = (np.zeros((2, *spec.shape), np.uint8), np.zeros(2), *np.zeros((2, 2), bool))
    assert read_steps(spec, results, out)
    for row, (observation, *_), allowed in zip(out[0], results, ([1, 0, 0], [1, 1, 0]), strict=True):
        image = observation["image"] if given == "observation" else observation
        assert row[:16].tolist() == image.ravel().tolist()
        assert row[-3:].tolist() == allowed
    for row, result in zip(out[0], results, strict=True):
        assert read_step(spec, result)[0].tolist() == row.tolist()
    wanted = [] if given == "info" else [[1.0], [2.0]]
    assert spec.real(out[0]).tolist() == (wanted or [[], []])
    first = read_reset(spec, env.reset(seed=3))
    assert first[-3:].tolist() == [1, 0, 0]


def test_masks_pass_through_wrappers():
    wrapped = flash("info", wrappers=({"TimeLimit": {"max_episode_steps": 2}},))
    env = make(wrapped, 1, num_envs=2)
    seen = env.reset(np.zeros((1, 2), np.int64), np.ones((1, 2), bool))
    assert (seen[..., -3:] == [1, 0, 0]).all()
    steps = [env.step(np.zeros((1, 2), np.int64)) for _ in range(2)]
    assert [bool(step.truncated.all()) for step in steps] == [False, True]
    assert describe(wrapped).exact_resume
    hidden = EnvConfig(id=CORRIDOR, action_mask="info", wrappers=("tests.envs.wrapped:Silent",))
    with pytest.raises(UserError, match=r"env\.action_mask=info needs info\['action_mask'\]"):
        describe(hidden)
