"""Optimisers and gradient clipping against others', over many steps, run by run."""

from __future__ import annotations

import pytest
import torch

from rlcli.learner.hyperparameters import hyperparameters
from rlcli.learner.optimisers import OPTIMISERS, Adam, clip_by_norm_
from rlcli.learner.state import OptimiserState
from tests.learner.setting import small

RUNS = [
    {"learning_rate": 1e-2, "adam_eps": 1e-5, "rmsprop_decay": 0.9, "max_grad_norm": 0.5},
    {
        "learning_rate": 3e-4, "adam_eps": 1e-3, "adam_beta1": 0.5, "adam_beta2": 0.9, "rmsprop_decay": 0.5,
        "rmsprop_eps": 1e-2, "max_grad_norm": None,
    },
    {
        "learning_rate": 1e-1, "adam_eps": 1e-8, "adam_beta1": 0.0, "rmsprop_decay": 0.99,
        "max_grad_norm": 50.0,
    },
]  # fmt: skip
CONFIGS = [small(algo=given | {"learning_rate_schedule": "constant"}) for given in RUNS]
WIDTH = 37


def theirs(run: int, start: torch.Tensor, gradients: torch.Tensor, kind: str = "adam") -> torch.Tensor:
    """Where another implementation comes to from `start` along the gradients [S, P]."""
    algo = CONFIGS[run].algo
    parameter = torch.nn.Parameter(start.clone())
    optimiser: torch.optim.Optimizer
    if kind == "adam":
        betas = (algo.adam_beta1, algo.adam_beta2)
        optimiser = torch.optim.Adam([parameter], algo.learning_rate, betas, algo.adam_eps)
    elif kind == "rmsprop":
        module = pytest.importorskip("stable_baselines3.common.sb2_compat.rmsprop_tf_like")
        optimiser = module.RMSpropTFLike(
            [parameter], algo.learning_rate, alpha=algo.rmsprop_decay, eps=algo.rmsprop_eps
        )
    else:
        optimiser = torch.optim.SGD([parameter], algo.learning_rate)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        if algo.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_([parameter], algo.max_grad_norm)
        optimiser.step()
    return parameter.detach()


def given(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(3, WIDTH, generator=draw)
    sizes = torch.logspace(-3, 1, WIDTH) * torch.linspace(0.01, 3.0, steps).view(-1, 1, 1)
    return start, sizes * (0.3 + torch.randn(steps, 3, WIDTH, generator=draw))


def fresh(start: torch.Tensor, kind: str = "adam") -> OptimiserState:
    second = torch.full_like(start, OPTIMISERS[kind].initial_second)
    return OptimiserState(torch.zeros_like(start), second, torch.zeros(3))


def ours(
    start: torch.Tensor,
    gradients: torch.Tensor,
    per_update: int,
    active: torch.Tensor | None = None,
    kind: str = "adam",
) -> torch.Tensor:
    """Where ours comes to, in updates of so many steps each."""
    hyper = hyperparameters(CONFIGS, [0, 0, 0], "cpu")
    parameters, state = start, fresh(start, kind)
    for first in range(0, len(gradients), per_update):
        rule = OPTIMISERS[kind](parameters, state, hyper, per_update)
        for step in range(first, min(first + per_update, len(gradients))):
            clipped, _ = clip_by_norm_(gradients[step].clone(), hyper.max_grad_norm)
            rule.step(clipped, None if active is None else active[step])
        parameters, state = rule.parameters, rule.state()
    return parameters


@pytest.mark.broken_by(
    "RMSProp's mean square from 0",
    "learner/optimisers.py",
    "initial_second = 1.0",
    "initial_second = 0.0",
)
@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("per_update", [1, 7, 16, 100])
def test_a_hundred_steps_end_where_others_end(per_update, kind):
    start, gradients = given(100)
    found = ours(start, gradients, per_update, kind=kind)
    for run in range(3):
        wanted = theirs(run, start[run], gradients[:, run], kind)
        assert (wanted - start[run]).abs().mean() > 1e-3
        torch.testing.assert_close(
            found[run], wanted, rtol=1e-5, atol=1e-5 * RUNS[run]["learning_rate"] * 100
        )


@pytest.mark.broken_by(
    "RMSProp's epsilon outside the root",
    "learner/optimisers.py",
    "divisor = torch.add(self._second, self._hyper.rmsprop_eps, out=self._room).sqrt_()",
    "divisor = torch.sqrt(self._second, out=self._room).add_(self._hyper.rmsprop_eps)",
)
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_gradients_much_smaller_than_epsilon_show_where_it_stands(kind):
    """With all mean squares forgotten, epsilon alone decides how far a step goes."""
    start, gradients = given(60)
    gradients = gradients * 1e-4
    found = ours(start, gradients, 20, kind=kind)[1] - start[1]
    wanted = theirs(1, start[1], gradients[:, 1], kind) - start[1]
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=3e-7)


@pytest.mark.broken_by(
    "Adam without bias correction",
    "learner/optimisers.py",
    "rates = hyper.learning_rate.double() * roots / (1.0 - hyper.adam_beta1.double() ** counts)",
    "rates = hyper.learning_rate.double() * roots",
)
@pytest.mark.parametrize("steps", [1, 2])
def test_the_first_steps(steps):
    start, gradients = given(steps)
    found = ours(start, gradients, 4) - start
    for run in range(3):
        wanted = theirs(run, start[run], gradients[:, run]) - start[run]
        torch.testing.assert_close(found[run], wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.broken_by(
    "a frozen run moves on",
    "learner/optimisers.py",
    "self._moving -= torch.where(mask, self._move(gradients), 0.0)",
    "self._moving -= self._move(gradients)",
)
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_frozen_run_keeps_what_it_had_and_goes_on_as_if_it_had_stopped(kind):
    start, gradients = given(20)
    active = torch.ones(20, 3, dtype=torch.bool)
    active[4:10, 1] = False
    found = ours(start, gradients, 10, active, kind)
    kept = torch.cat((gradients[:4], gradients[10:]))
    wanted = theirs(1, start[1], kept[:, 1], kind)
    torch.testing.assert_close(found[1], wanted, rtol=1e-5, atol=1e-6)
    everything = ours(start, gradients, 10, kind=kind)
    assert torch.equal(found[[0, 2]], everything[[0, 2]])


def test_parameters_are_changed_in_place_and_the_given_ones_not():
    start, gradients = given(1)
    before = start.clone()
    adam = Adam(start, fresh(start), hyperparameters(CONFIGS, [0, 0, 0], "cpu"), 1)
    view = adam.parameters[:, :5]
    adam.step(gradients[0])
    assert torch.equal(start, before)
    assert torch.equal(view, adam.parameters[:, :5])
    assert (view != start[:, :5]).all()


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("width", [1, 3, 64, 1001])
def test_runs_together_step_as_each_alone(width, kind):
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(3, width, generator=draw), torch.randn(3, 3, width, generator=draw)
    hyper = hyperparameters(CONFIGS, [0, 0, 0], "cpu")

    def walk(rows: list[int]) -> list[torch.Tensor]:
        own = hyper.map(lambda field: field[rows])
        state = OptimiserState(*(part[rows] for part in fresh(start, kind)))
        rule = OPTIMISERS[kind](start[rows], state, own, 3)
        for gradient in gradients[:, rows]:
            clipped, norms = clip_by_norm_(gradient.clone(), own.max_grad_norm)
            rule.step(clipped)
        return [rule.parameters, *rule.state(), norms]

    together = walk([0, 1, 2])
    for run in range(3):
        for part, whole in zip(walk([run]), together, strict=True):
            assert torch.equal(part[0], whole[run])


@pytest.mark.broken_by(
    "gradients not clipped",
    "learner/optimisers.py",
    "return gradients.mul_(scale), norms.squeeze(-1)",
    "return gradients, norms.squeeze(-1)",
)
def test_clip_by_norm():
    gradients = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.03, 0.04], [0.0, 0.0]])
    limits = torch.tensor([[1.0], [float("inf")], [1.0], [1.0]])
    clipped, norms = clip_by_norm_(gradients, limits)
    assert norms.tolist() == pytest.approx([5.0, 5.0, 0.05, 0.0])
    torch.testing.assert_close(clipped[0], torch.tensor([0.6, 0.8]), rtol=1e-6, atol=1e-6)
    assert torch.equal(clipped[1:], gradients[1:])
    on_the_limit, _ = clip_by_norm_(torch.ones(1, 1), torch.ones(1, 1))
    assert on_the_limit.item() == pytest.approx(1 / (1 + 1e-6), abs=1e-7)
