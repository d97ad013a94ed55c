"""Each trial comes out as theory says, and its figures are those of slow, independent derivations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from rlcli.theory import drift, gradient, offpac, region, retrace, reuse, surrogate, variance
from rlcli.theory.process import (
    Process,
    action_values,
    discounted_occupancy,
    expected_return,
    random_logits,
    random_process,
    state_values,
)
from rlcli.theory.table import TRIALS
from rlcli.theory.trial import Trial


@pytest.fixture(scope="module")
def trials() -> dict[str, Trial]:
    """Every trial, run once; that of costs with small matrices."""
    return {
        name: region.trial((10, 100)) if about is region else about.trial() for name, about in TRIALS.items()
    }


@pytest.mark.broken_by(
    "balanced weights of the oldest policy alone",
    "theory/reuse.py",
    "torch.stack(sampled).mean(0)",
    "sampled[-1]",
    case="reuse",
)
@pytest.mark.broken_by(
    "half a step for a whole one",
    "theory/region.py",
    "error(u) / error(u / 2)",
    "error(u) / error(u)",
    case="region",
)
@pytest.mark.broken_by(
    "a geometric growth without the horizon",
    "theory/variance.py",
    "horizon * (horizon - 1) * a**2 * m ** (horizon - 2)",
    "a**2 * m ** (horizon - 2)",
    case="variance",
)
@pytest.mark.broken_by(
    "the performance difference over the old states",
    "theory/surrogate.py",
    "discounted_occupancy(process, moved) @ gain",
    "discounted_occupancy(process, policy) @ gain",
    case="surrogate",
)
@pytest.mark.broken_by(
    "paths of which some have a mistake",
    "theory/drift.py",
    "1.0 - mistakes, policy, process.moves",
    "1.0 - mistakes**2, policy, process.moves",
    case="drift",
)
@pytest.mark.broken_by(
    "a cap on the policy in place of the behaviour",
    "theory/retrace.py",
    "torch.minimum(cap * behaviour, policy)",
    "torch.minimum(cap * policy, behaviour)",
    case="retrace",
)
@pytest.mark.parametrize("name", TRIALS)
def test_every_statement_comes_out_as_expected(trials: dict[str, Trial], name: str) -> None:
    trial = trials[name]
    assert trial.name == name
    assert [one.text for one in trial.statements if not one.as_expected] == []
    assert len({one.text for one in trial.statements}) == len(trial.statements) >= 4
    for table in trial.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        if table.picture is not None:
            assert {table.picture.x, *table.picture.lines} <= set(table.columns)


def simulated(process: Process, policy: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """d and J from the sums over time themselves."""
    at, occupancy, total = process.start, torch.zeros_like(process.start), 0.0
    for time in range(times):
        occupancy += (1 - process.gamma) * process.gamma**time * at
        total += process.gamma**time * (at[:, None] * policy * process.rewards).sum().item()
        at = torch.einsum("s,sa,sat->t", at, policy, process.moves)
    return occupancy, torch.tensor(total, dtype=torch.float64)


@pytest.mark.broken_by(
    "occupancy of the reversed chain", "theory/process.py", "process.gamma * step.T", "process.gamma * step"
)
def test_solutions_are_the_sums_over_time() -> None:
    process, policy = random_process(4, 3, 0.8, seed=0), random_logits(4, 3, seed=1).softmax(-1)
    occupancy, total = simulated(process, policy, 400)
    assert discounted_occupancy(process, policy).tolist() == pytest.approx(occupancy.tolist(), abs=1e-12)
    assert expected_return(process, policy).item() == pytest.approx(total.item(), abs=1e-12)
    q = action_values(process, policy)
    assert (policy * q).sum(-1).tolist() == pytest.approx(state_values(process, policy).tolist(), abs=1e-12)


@pytest.mark.broken_by(
    "mistakes that are undone",
    "theory/drift.py",
    "moves[0, 0, 0] = moves[0, 1, 1]",
    "moves[0, 0, 0] = moves[0, 1, 0]",
)
def test_total_variation_of_the_absorbing_chain() -> None:
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    wrong = torch.tensor([[0.9, 0.1], [1.0, 0.0]], dtype=torch.float64)
    epsilon, apart = drift.distances(drift.mistake_chain(), right, wrong)
    half = dict(zip(drift.TIMES, (apart / 2).tolist(), strict=True))
    assert epsilon == pytest.approx(0.1)
    assert [half[t] for t in (1, 5, 10)] == pytest.approx([0.1, 0.40951, 0.6513215599], abs=1e-10)


def test_the_drift_bound_holds_for_many_random_pairs() -> None:
    for seed in range(20):
        process = random_process(5, 2, 0.9, seed)
        policy, moved = (random_logits(5, 2, seed + shift).softmax(-1) for shift in (100, 200))
        epsilon, apart = drift.distances(process, policy, moved)
        times = torch.tensor(drift.TIMES, dtype=torch.float64)
        assert (apart <= 2 * (1 - (1 - epsilon) ** times) + 1e-12).all()
        error, *bounds = drift.surrogate_error(process, policy, moved)
        assert error <= min(bounds)


@pytest.mark.broken_by(
    "values as large as rewards",
    "theory/drift.py",
    "process.rewards.abs().max() / (1.0 - process.gamma)",
    "process.rewards.abs().max()",
)
def test_the_line_of_the_slides_is_attained_twice_over_on_the_fork() -> None:
    always = torch.eye(2, dtype=torch.float64)
    lost, line = drift.losses(drift.fork(0.8), always[0].expand(5, 2), always[1].expand(5, 2))
    # State 1 gains 2/(1-γ) under π', state 2 loses as much: they differ by 20, and by γ in time.
    assert lost.tolist() == pytest.approx([0.0, 0.8 * 20.0, *[0.0] * 6], abs=1e-12)
    assert line[:3].tolist() == pytest.approx([0.0, 0.8 * 2 * 5.0, 0.64 * 4 * 5.0])


@pytest.mark.broken_by(
    "losses without a discount",
    "theory/drift.py",
    "discount * (apart @ gain)[list(TIMES)].abs()",
    "(apart @ gain)[list(TIMES)].abs()",
)
def test_the_surrogate_loses_what_the_states_differ_in() -> None:
    for seed in range(20):
        process, policy, other = (
            random_process(4, 2, 0.9, seed), *(random_logits(4, 2, seed + n).softmax(-1) for n in (100, 200))
        )  # fmt: skip
        moved = drift.at_distance(policy, other, min(0.5, (policy - other).abs().sum(-1).max().item() / 2))
        lost, line = drift.losses(process, policy, moved)
        assert (lost <= line + 1e-12).all()
        value = state_values(process, policy)
        gain = (moved * action_values(process, policy)).sum(-1) - value
        at = [process.start, process.start]
        for time in range(4):
            written = 0.9**time * abs(((at[1] - at[0]) @ gain).item())
            assert lost[time].item() == pytest.approx(written, abs=1e-12)
            at = [
                torch.einsum("s,sa,sat->t", p, acting, process.moves)
                for p, acting in zip(at, (policy, moved), strict=True)
            ]


@pytest.mark.broken_by(
    "a distance that is not the largest",
    "theory/drift.py",
    "epsilon / total_variation(policy, other).max()",
    "epsilon / total_variation(policy, other).min()",
)
def test_policies_at_a_distance() -> None:
    policy, other = (random_logits(6, 3, seed).softmax(-1) for seed in (2, 3))
    for epsilon in (0.01, 0.3):
        moved = drift.at_distance(policy, other, epsilon)
        assert (moved - policy).abs().sum(-1).max().item() / 2 == pytest.approx(epsilon, abs=1e-14)


@pytest.mark.broken_by(
    "the states of the moved policy",
    "theory/surrogate.py",
    "discounted_occupancy(process, policy) @ gain / scale",
    "discounted_occupancy(process, moved) @ gain / scale",
)
def test_the_surrogate_keeps_the_old_states() -> None:
    process, policy = random_process(4, 3, 0.8, seed=0), random_logits(4, 3, seed=1).softmax(-1)
    moved = random_logits(4, 3, seed=2).softmax(-1)
    occupancy, _ = simulated(process, policy, 400)
    q, v = action_values(process, policy), state_values(process, policy)
    gain = sum(
        occupancy[s].item() * moved[s, a].item() * (q[s, a] - v[s]).item() for s in range(4) for a in range(3)
    )
    found = surrogate.surrogate(process, policy, moved).item()
    assert found == pytest.approx(expected_return(process, policy).item() + gain / 0.2, abs=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_every_lower_bound_is_one(seed: int) -> None:
    process, policy = random_process(4, 2, 0.9, seed), random_logits(4, 2, seed + 50).softmax(-1)
    for scale in (0.01, 0.3, 3.0):
        moved = (policy.log() + scale * random_logits(4, 2, seed + 90)).softmax(-1)
        true = expected_return(process, moved) + 1e-12
        assert surrogate.kl_bound(process, policy, moved, 4.0) <= true
        assert surrogate.kl_bound(process, policy, moved, 2.0) <= true
        assert surrogate.average_bound(process, policy, moved) <= true


@pytest.mark.broken_by(
    "an average TV bound without the advantages",
    "theory/surrogate.py",
    "* epsilon * distance",
    "* distance",
)
@pytest.mark.broken_by(
    "an average TV bound above Pinsker's",
    "theory/surrogate.py",
    "discounted_occupancy(process, policy) @ total_variation(policy, moved)",
    "2.0 * kullback_leibler(policy, moved).max().sqrt()",
)
def test_bounds_are_ordered_and_tight_at_the_policy_alone() -> None:
    for seed in range(10):
        process, logits = random_process(4, 2, 0.9, seed), random_logits(4, 2, seed + 50)
        gaps = []
        for scale in (3.0, 0.3, 0.004, 0.002):
            moved = (logits + scale * random_logits(4, 2, seed + 90)).softmax(-1)
            found = surrogate.bounds(process, logits.softmax(-1), moved)
            assert found[0] < found[1] < found[2]
            gaps.append([expected_return(process, moved).item() - bound for bound in found])
        ratios = [whole / half for whole, half in zip(gaps[-2], gaps[-1], strict=True)]
        assert ratios == pytest.approx([4.0] * 3, rel=0.02)
        without_future = process._replace(gamma=0.0)
        true = expected_return(without_future, moved).item()
        assert surrogate.bounds(without_future, logits.softmax(-1), moved) == pytest.approx([true] * 3)


def enumerated(p: float, horizon: int) -> dict[str, float]:
    """Variances of the three estimators over all action sequences."""
    moments = {name: [0.0, 0.0] for name in ("trajectory", "per decision", "per step")}
    for actions in itertools.product((0, 1), repeat=horizon):
        chance = 0.5**horizon
        ratios = [2 * p if action else 2 * (1 - p) for action in actions]
        values = {
            "trajectory": math.prod(ratios) * sum(actions),
            "per decision": sum(math.prod(ratios[: t + 1]) * r for t, r in enumerate(actions)),
            "per step": sum(ratio * r for ratio, r in zip(ratios, actions, strict=True)),
        }
        for name, value in values.items():
            moments[name][0] += chance * value
            moments[name][1] += chance * value**2
    assert all(first == pytest.approx(horizon * p) for first, _ in moments.values())
    return {name: second - first**2 for name, (first, second) in moments.items()}


@pytest.mark.broken_by(
    "pairs of rewards counted once",
    "theory/variance.py",
    "2.0 * (horizon - 1 - t)",
    "1.0 * (horizon - 1 - t)",
)
@pytest.mark.parametrize("horizon", [1, 2, 5, 8])
def test_variances_over_every_action_sequence(horizon: int) -> None:
    for p in (0.3, 0.7):
        exact = enumerated(p, horizon)
        assert variance.trajectory_variance(p, horizon) == pytest.approx(exact["trajectory"], abs=1e-12)
        assert variance.per_decision_variance(p, horizon) == pytest.approx(exact["per decision"], abs=1e-12)
        assert variance.per_step_variance(p, horizon) == pytest.approx(exact["per step"], abs=1e-12)
        assert variance.truncated(p, horizon, 1e9)[0] == pytest.approx(exact["trajectory"], abs=1e-12)


@pytest.mark.broken_by(
    "a cap's bound ten times too small", "theory/variance.py", "(4.0 * cap)", "(40.0 * cap)", case="8"
)
@pytest.mark.broken_by(
    "self-normalised about another mean",
    "theory/variance.py",
    "(weight * (ones - horizon * p)) ** 2",
    "(weight * (ones - horizon * 0.5)) ** 2",
    case="8",
)
@pytest.mark.parametrize("horizon", [1, 3, 8])
def test_capped_and_normalised_weights_over_every_action_sequence(horizon: int) -> None:
    p, cap = 0.8, 10.0
    chance, capped, spread, lost, square = 0.5**horizon, [0.0, 0.0], 0.0, 0.0, 0.0
    for actions in itertools.product((0, 1), repeat=horizon):
        weight = math.prod(2 * p if action else 2 * (1 - p) for action in actions)
        value = min(weight, cap) * sum(actions)
        capped[0] += chance * value
        capped[1] += chance * value**2
        spread += chance * (weight * (sum(actions) - horizon * p)) ** 2
        lost += chance * max(weight - cap, 0.0)
        square += chance * weight**2
    expected = (
        spread, capped[1] - capped[0] ** 2, capped[0] - horizon * p, horizon * lost,
        horizon * square / (4 * cap),
    )  # fmt: skip
    assert variance.figures(p, horizon)[3:] == pytest.approx(expected, abs=1e-12)


@pytest.mark.broken_by(
    "the tail of another width",
    "theory/variance.py",
    "1.0 - 1.0 / std**2",
    "1.0 - 1.0 / std",
)
def test_the_shape_of_gaussian_weights_is_the_slope_of_their_tail() -> None:
    for std in (1.2, 1.6, 3.0):
        behaviour, target = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.0, std)
        at = torch.tensor([35.0, 37.0], dtype=torch.float64)
        log_weights = target.log_prob(at) - behaviour.log_prob(at)
        beyond = [math.log(math.erfc(x / math.sqrt(2))) for x in at.tolist()]
        slope = (beyond[1] - beyond[0]) / (log_weights[1] - log_weights[0]).item()
        assert -1 / slope == pytest.approx(variance.shape_of_std(std), rel=2e-3)


@pytest.mark.broken_by(
    "an infinite moment for a finite one",
    "theory/variance.py",
    "2.0 - std**2",
    "1.5 - std**2",
)
def test_the_second_moment_is_finite_below_a_variance_of_two() -> None:
    def moment(std: float, bound: float) -> float:
        x = torch.linspace(-bound, bound, 400_001, dtype=torch.float64)
        density = torch.distributions.Normal(0.0, 1.0).log_prob(x)
        log = 2.0 * torch.distributions.Normal(0.0, std).log_prob(x) - density
        return torch.trapezoid(log.exp(), x).item()

    for std in (1.1, 1.3):
        assert 1 / moment(std, 50.0) == pytest.approx(variance.ess_of_std(std), rel=1e-6)
    for std in (math.sqrt(2), 1.6):
        assert variance.ess_of_std(std) == pytest.approx(0.0, abs=1e-7)
        assert moment(std, 20.0) > 1.9 * moment(std, 10.0)


@pytest.mark.broken_by(
    "more variance further away",
    "theory/variance.py",
    "return 2.0 * (p**2 + (1.0 - p) ** 2), p, 2.0 * p**2",
    "return 2.0 * (p**2 + (1.0 - p) ** 2), p, 2.0 * (1.0 - p) ** 2",
)
def test_variance_grows_with_the_distance_of_the_policies(trials: dict[str, Trial]) -> None:
    (table,) = (one for one in trials["variance"].tables if one.columns[0] == "TV of π and μ")
    assert len(table.rows) >= 8
    for column in variance.ESTIMATORS[:3]:
        figures = [float(cell) for cell in table.column(column)]
        assert figures == sorted(set(figures))


def test_the_lognormal_excess_is_the_integral() -> None:
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    for sigma, cap in ((0.5, 1.0), (1.0, 5.0), (2.0, 10.0)):
        excess = ((sigma * z - sigma**2 / 2).exp() - cap).clamp(min=0)
        exact = torch.trapezoid(excess * density, z).item()
        assert variance.lognormal_excess(sigma, cap) == pytest.approx(exact, rel=1e-5)


def applied(
    process: Process, policy: Tensor, behaviour: Tensor, trace: Tensor, q: Tensor, steps: int
) -> Tensor:
    """R Q by its sum over time: Q + Σ_t γ^t (P^{cμ})^t (T^π Q - Q)."""
    value = (policy * q).sum(-1)
    error = process.rewards + process.gamma * process.moves @ value - q
    total, current = q.clone(), error
    for _ in range(steps):
        total = total + current
        current = process.gamma * process.moves @ (behaviour * trace * current).sum(-1)
    return total


@pytest.mark.broken_by(
    "traces of the action that was taken last",
    "theory/retrace.py",
    "step(trace * behaviour)",
    "step(trace * policy)",
)
@pytest.mark.parametrize("name", retrace.NAMES)
def test_operators_are_their_sums_over_time(name: str) -> None:
    process = random_process(4, 3, 0.7, seed=3)
    policy, behaviour = (random_logits(4, 3, seed).softmax(-1) for seed in (4, 5))
    trace = retrace.traces(name, policy, behaviour, 0.8)
    linear, offset = retrace.operator(process, policy, behaviour, trace)
    q = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    expected = applied(process, policy, behaviour, trace, q, 600)
    assert (linear @ q.reshape(-1) + offset).tolist() == pytest.approx(
        expected.reshape(-1).tolist(), abs=1e-9
    )


@pytest.mark.broken_by(
    "traces of tree backup that do not decay",
    "theory/retrace.py",
    "decay * policy,",
    "policy,",
)
def test_without_traces_operators_are_one_step() -> None:
    process = random_process(4, 3, 0.7, seed=3)
    policy, behaviour = (random_logits(4, 3, seed).softmax(-1) for seed in (4, 5))
    one_step = 0.7 * torch.einsum("sat,tb->satb", process.moves, policy).reshape(12, 12)
    for name in retrace.NAMES[1:]:
        linear, offset = retrace.operator(
            process, policy, behaviour, retrace.traces(name, policy, behaviour, 0.0)
        )
        assert (linear - one_step).abs().max().item() < 1e-12
        assert offset.tolist() == pytest.approx(process.rewards.reshape(-1).tolist(), abs=1e-12)
        assert retrace.contraction(process, policy, behaviour, name, 0.0) == pytest.approx(0.7)


@pytest.mark.broken_by(
    "rho-bar and c-bar exchanged",
    "theory/retrace.py",
    "clamp(max=cap) for cap in caps)",
    "clamp(max=cap) for cap in caps[::-1])",
)
def test_the_operator_of_vtrace_is_its_sum_over_time() -> None:
    process = random_process(4, 3, 0.7, seed=3)
    policy, behaviour = (random_logits(4, 3, seed).softmax(-1) for seed in (4, 5))
    ratio, value = policy / behaviour, random_logits(4, 1, seed=6)[:, 0]
    error = process.rewards + 0.7 * process.moves @ value - value[:, None]
    current = (behaviour * ratio.clamp(max=1.2) * error).sum(-1)
    total = value.clone()
    for _ in range(300):
        total = total + current
        current = 0.7 * (behaviour * ratio.clamp(max=0.8) * (process.moves @ current)).sum(-1)
    linear, offset = retrace.vtrace_operator(process, policy, behaviour, (1.2, 0.8))
    assert (linear @ value + offset).tolist() == pytest.approx(total.tolist(), abs=1e-12)
    iterated = retrace.vtrace_iterated(process, policy, behaviour, 1.2)
    assert (linear @ iterated + offset).tolist() == pytest.approx(iterated.tolist(), abs=1e-12)


@pytest.mark.broken_by(
    "a log-probability weighed by its ratio",
    "theory/gradient.py",
    "behaviour @ (policy * advantage)",
    "behaviour @ (policy.exp() / behaviour * policy * advantage)",
)
def test_the_surrogates_part_with_every_step() -> None:
    direction, rewards = (
        torch.tensor(values, dtype=torch.float64) for values in (gradient.DIRECTION, gradient.REWARDS)
    )
    behaviour = torch.tensor(gradient.OLD, dtype=torch.float64).softmax(-1)
    for sign in (-1.0, 1.0):
        apart = []
        for step in (0.0, 0.1, 0.5, 1.0, 2.0):
            policy = (behaviour.log() + sign * step * direction).softmax(-1)
            expected = policy @ (rewards * direction) - (policy @ rewards) * (policy @ direction)
            _, ratio, log_probability = gradient.slopes(sign * step)
            assert ratio == pytest.approx(expected.item(), abs=1e-12)
            assert log_probability == pytest.approx(
                (behaviour * (rewards - behaviour @ rewards) @ direction).item(), abs=1e-12
            )
            apart.append(abs(ratio - log_probability))
        assert apart == sorted(apart)
        assert apart[0] < 1e-12 < apart[1]


def test_the_ratio_surrogate_of_a_bandit_is_its_return() -> None:
    for step in (-1.3, 0.4):
        true, ratio, _ = gradient.slopes(step)
        assert ratio == pytest.approx(true, abs=1e-14)
    assert len(set(gradient.slopes(0.0))) <= 2


@pytest.mark.broken_by(
    "a step of the std alone", "theory/region.py", "(std**2 + move**2)", "(std**2 + abs(move))"
)
def test_the_kl_of_gaussians_is_the_integral() -> None:
    x = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    for move, std, after in ((1.0, 0.7, 0.7), (0.3, 1.0, 1.4), (2.0, 2.0, 1.0)):
        first, second = torch.distributions.Normal(0.0, std), torch.distributions.Normal(move, after)
        log = first.log_prob(x)
        exact = torch.trapezoid(log.exp() * (log - second.log_prob(x)), x).item()
        assert region.gaussian_kl(move, std, after) == pytest.approx(exact, abs=1e-7)


@pytest.mark.broken_by(
    "the Fisher matrix of a log std",
    "theory/region.py",
    "2.0 * std_step**2",
    "std_step**2",
)
def test_the_fisher_form_is_the_kl_to_second_order() -> None:
    for std in (0.3, 3.0):
        assert region.fisher_form(1.0, 0.0, std) == pytest.approx(region.gaussian_kl(1.0, std, std))
        errors = [
            region.fisher_form(0.0, u * std, std) - region.gaussian_kl(0.0, std, (1 + u) * std)
            for u in (0.04, 0.02, 0.01, 0.005)
        ]
        # KL = u² - 5/3 u³ + 9/4 u⁴ - ...: each half of a step divides the error by 8 (1 - 27/40 u).
        for u, (whole, half) in zip((0.04, 0.02, 0.01), itertools.pairwise(errors), strict=True):
            assert whole / half == pytest.approx(8 * (1 - 0.675 * u), rel=u**2)
        assert errors[-1] / 0.005**3 == pytest.approx(5 / 3, rel=0.01)


@pytest.mark.broken_by(
    "a std that moves by a share of itself",
    "theory/region.py",
    "gaussian_kl(0.0, std, std + 1.0), fisher_form(0.0, 1.0, std)",
    "gaussian_kl(0.0, std, 2.0 * std), fisher_form(0.0, std, std)",
)
def test_steps_of_one_have_one_length_and_other_costs(trials: dict[str, Trial]) -> None:
    table = trials["region"].tables[0]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows[0.3] == pytest.approx(
        (1.0, 1 / 0.18, 1 / 0.18, math.log(1.3 / 0.3) + 0.09 / (2 * 1.69) - 0.5, 1 / 0.09)
    )
    assert rows[3.0] == pytest.approx((1.0, 1 / 18, 1 / 18, math.log(4 / 3) + 9 / 32 - 0.5, 1 / 9))


def test_a_balanced_mixture_of_one_policy_is_plain_weighting() -> None:
    policy, behaviour = (random_logits(1, reuse.ACTIONS, seed)[0].softmax(-1) for seed in (1, 2))
    apart, balanced = (reuse.variance(policy, [behaviour], balanced=flag) for flag in (False, True))
    assert apart == balanced
    weighed = policy / behaviour * reuse.mean_rewards()
    exact = (behaviour * (weighed - (behaviour * weighed).sum()) ** 2).sum().item() / reuse.SAMPLES
    assert apart[1] == pytest.approx(exact, abs=1e-14)


@pytest.mark.broken_by(
    "a distance that ends before the table",
    "theory/offpac.py",
    "distance * away",
    "min(distance, 3.0) * away",
)
def test_the_off_policy_gradient_turns_with_every_row(trials: dict[str, Trial]) -> None:
    table, _ = trials["offpac"].tables
    assert len(table.rows) >= 8
    for name in ("cosine, tabular", "cosine, shared"):
        cosines = [float(cell) for cell in table.column(name)]
        assert cosines == sorted(set(cosines), reverse=True)


@pytest.mark.broken_by(
    "a second state that rewards the same action",
    "theory/offpac.py",
    "[0.0, -1.0]",
    "[0.0, 1.0]",
)
def test_the_off_policy_gradient_may_point_downhill(trials: dict[str, Trial]) -> None:
    _, table = trials["offpac"].tables
    # V(2) - V(1) = -2 π(1): action 1 gains 1 - 2 γ π(1) in the first state, -1 - 2 γ π(1) in the second.
    for chance, found, true in table.rows:
        assert isinstance(chance, float)
        second = 0.9 * chance
        slope = 0.24 * ((1 - second) * (1 - 0.72) - second * (1 + 0.72)) / (1 - 0.9)
        assert found == pytest.approx(slope)
        assert true == pytest.approx(table.rows[0][1])
    assert float(table.rows[0][1]) < 0 < float(table.rows[-1][1])


def test_the_off_policy_gradient_is_a_sum_over_states_and_actions() -> None:
    process = random_process(3, 2, 0.9, seed=1)
    features = torch.randn(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parameters = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    states = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    q = action_values(process, (features @ parameters).softmax(-1))
    written = torch.zeros(4, dtype=torch.float64)
    for s, a in itertools.product(range(3), range(2)):
        at = parameters.clone().requires_grad_()
        chance = (features @ at).softmax(-1)[s, a]
        written += states[s] * q[s, a] * torch.autograd.grad(chance, at)[0] / (1 - 0.9)
    found = offpac.gradient(process, features, parameters, states)
    assert found.tolist() == pytest.approx(written.tolist(), abs=1e-12)
