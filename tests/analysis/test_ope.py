"""Off-policy evaluation of runs: recorded episodes, their file, fitted values and the estimates."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcli.analysis import fqe
from rlcli.analysis import ope as evaluation
from rlcli.analysis.episode_file import EpisodeFile, read_episodes, write_episodes
from rlcli.analysis.fqe import rewards_to_go
from rlcli.analysis.ope import Weights, check, evaluate, summarise
from rlcli.config.schema.keys import KEYS
from rlcli.errors import RlcliError, StorageError, UserError
from rlcli.maths import ope as estimators
from rlcli.maths.pareto import khat
from rlcli.runs.episodes import (
    OF_TRAINING,
    PROCESS,
    Recording,
    log_probs_under,
    process_of,
    record_run,
)
from rlcli.runs.policy import Trained, read_policy
from rlcli.runs.train import train
from tests.maths.test_ope import UNDER_MU, episodes, true_return
from tests.runs.tiny import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three updates, of which every checkpoint is kept."""
    folder = tmp_path_factory.mktemp("ope") / "run"
    train([tiny(checkpoint__every=32, algo__learning_rate=0.05)], [folder])
    return folder


@pytest.fixture(scope="module")
def recording(run: Path) -> Recording:
    return record_run(run, episodes=24, checkpoint=2)


def as_file(recording: Recording) -> EpisodeFile:
    return EpisodeFile(recording.episodes, recording.log_probs, recording.about("run"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few gradient steps: what is tested is not how well values fit."""
    for name, value in {"FEWEST": 2, "MOST": 2, "FIRST": 20}.items():
        monkeypatch.setattr(fqe, name, value)


def test_episodes_are_whole_and_repeat(run: Path, recording: Recording) -> None:
    found = recording.episodes
    assert found.rewards.sum(-1).tolist() == found.lengths.tolist()  # CartPole: 1 a step
    assert found.terminated.all()
    assert (found.observations[:, 0] ** 2).sum(-1).max() < 0.02  # first states are near 0
    again = record_run(run, episodes=24, checkpoint=2)
    for first, second in zip(found, again.episodes, strict=True):
        assert np.array_equal(first, second)


@pytest.mark.broken_by(
    "log-probabilities of the observation behind the step",
    "collect/episodes.py",
    "episodes.observations[None, :, time]",
    "episodes.observations[None, :, time + 1]",
)
def test_log_probabilities_are_those_of_the_policy_in_one_batch(recording: Recording) -> None:
    model, snapshot = recording.trained.policy
    found, present = recording.episodes, recording.episodes.present
    inputs = model.encode(snapshot, torch.from_numpy(found.observations[:, :-1][present][None]))
    policy = model.distribution(snapshot.parameters, inputs)
    exact = policy.log_prob(torch.from_numpy(found.actions[present][None]))[0]
    assert recording.log_probs[present] == pytest.approx(exact.detach().numpy(), abs=1e-5)
    assert (recording.log_probs[~present] == 0).all()


def test_a_policy_s_own_episodes_have_weights_of_one(run: Path, recording: Recording) -> None:
    answer = evaluate(read_policy(run, 2), as_file(recording), "file", 1.0, seed=0)
    mean = recording.episodes.rewards.sum(-1).mean()
    for one in answer.estimates:
        if one.name not in ("direct", "doubly_robust", "weighted_doubly_robust"):
            assert one.value == pytest.approx(mean, abs=1e-9)
        assert one.low <= one.high
    assert (answer.weights, answer.warning) == (Weights(None, 24.0, None, 1.0), None)
    assert answer.lower_bound is not None


def test_another_policy_s_episodes_are_weighed(run: Path, recording: Recording) -> None:
    target = read_policy(run, 3)
    answer = evaluate(target, as_file(recording), "file", 0.9, seed=0)
    ratios = log_probs_under(target, recording.episodes, "file") - recording.log_probs
    weights = np.exp(ratios.sum(-1))
    assert answer.weights.largest == pytest.approx(weights.max())
    assert answer.weights.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    returns = recording.episodes.rewards @ (0.9 ** np.arange(recording.episodes.rewards.shape[1]))
    found = {one.name: one.value for one in answer.estimates}
    assert found["is"] == pytest.approx((weights * returns).mean())
    assert found["weighted"] == pytest.approx((weights * returns).sum() / weights.sum())
    again = evaluate(target, as_file(recording), "file", 0.9, seed=0)
    assert again.row() == answer.row()


def test_intervals_cover_the_true_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """95% intervals of the unbiased estimator, of 60 draws of the small process."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 200)
    draw = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(60):
        chosen = torch.multinomial(UNDER_MU, 60, replacement=True, generator=draw)
        first = summarise(episodes(chosen), seed).estimates[0]
        covered += first.low <= true_return() <= first.high
    assert covered >= 52


def test_a_file_has_what_was_recorded(tmp_path: Path, recording: Recording) -> None:
    path = tmp_path / "episodes.npz"
    write_episodes(path, as_file(recording))
    found = read_episodes(path)
    for first, second in zip(found.episodes, recording.episodes, strict=True):
        assert np.array_equal(first, second)
        assert first.dtype == second.dtype
    assert found.about["process"]["env.id"] == "CartPole-v1"


def test_damaged_files_are_refused_by_name(tmp_path: Path, recording: Recording) -> None:
    good = tmp_path / "good.npz"
    write_episodes(good, as_file(recording))
    with np.load(good) as archive:
        arrays = {name: archive[name] for name in archive.files}
    bad = tmp_path / "bad.npz"

    def refused(kind: type[RlcliError] = StorageError, **changes: object) -> str:
        np.savez(bad, **{name: value for name, value in (arrays | changes).items() if value is not None})  # type: ignore[arg-type]
        with pytest.raises(kind) as error:
            read_episodes(bad)
        return str(error.value)

    nan = recording.episodes.rewards.copy()
    nan[0, 0] = np.nan
    assert "rewards (not finite)" in refused(rewards=nan)
    assert "lengths" in refused(lengths=recording.episodes.lengths * 100)
    assert "log_probs" in refused(log_probs=recording.log_probs[:, :1])
    assert "observations" in refused(observations=recording.episodes.observations[:, :-1])
    assert "lacks actions" in refused(UserError, actions=None)
    assert "log_probs (above 0)" in refused(log_probs=recording.log_probs + 5.0)
    assert "log_probs (not finite)" in refused(log_probs=recording.log_probs - np.inf)
    assert "version" in refused(format=np.array(json.dumps({"version": 99})))
    earlier = refused(UserError, format=np.array(json.dumps({"version": 1, "run": "my run"})))
    assert "earlier rlcli" in earlier
    assert "rlcli rollouts 'my run' --out" in earlier
    assert "damaged" in refused(terminated=np.array([{"a": 1}] * 24, dtype=object))
    bad.write_bytes(good.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        read_episodes(bad)
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("format.npy", "no array")
    with pytest.raises(UserError, match="lacks"):
        read_episodes(bad)
    with pytest.raises(UserError, match="rlcli rollouts"):
        read_episodes(tmp_path / "nowhere.npz")


def test_episodes_of_another_environment_are_refused(run: Path, recording: Recording, tmp_path: Path) -> None:
    target = read_policy(run, 2)
    other = as_file(recording)
    for name in PROCESS:
        process = other.about["process"] | {name: "another"}
        with pytest.raises(UserError, match=f"another decision process: {name} is 'another' there"):
            check(target, other._replace(about=other.about | {"process": process}), "file")
        del process[name]
        with pytest.raises(UserError, match=f"{name} is not recorded there"):
            check(target, other._replace(about=other.about | {"process": process}), "file")
    wide = recording.episodes._replace(observations=recording.episodes.observations[..., :2])
    with pytest.raises(UserError, match=r"observations \(2,\)"):
        log_probs_under(target, wide, "file")
    three = recording.episodes._replace(actions=recording.episodes.actions + 2)
    with pytest.raises(UserError, match="actions that CartPole-v1 does not have"):
        log_probs_under(target, three, "file")


@pytest.mark.parametrize(
    ("env", "settings"),
    [("Pendulum-v1", {}), ("CartPole-v1", {"network__name": "gru", "algo__minibatches": 1})],
)
def test_gaussian_policies_and_memory(tmp_path: Path, env: str, settings: dict[str, object]) -> None:
    folder = tmp_path / "run"
    train([tiny(env__id=env, total_steps=32, checkpoint__every=32, eval__max_steps=30, **settings)], [folder])
    made = record_run(folder, episodes=3)
    assert made.episodes.rewards.shape[1] <= 30
    answer = evaluate(made.trained, as_file(made), "file", 1.0, seed=0)
    assert answer.weights.ess == pytest.approx(3)
    assert all(np.isfinite(one.value) for one in answer.estimates)


def test_rewards_to_go_are_their_sums() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [3.0, 0.0, 0.0]])
    assert rewards_to_go(rewards, 0.5).tolist() == [[3.0, 4.0, 4.0], [3.0, 0.0, 0.0]]


def test_fitted_values_learn_the_length_that_is_left(
    run: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy's own episodes: with enough steps V is what its episodes still earn, on average."""
    for name, value in {"FEWEST": 20, "MOST": 20, "FIRST": 1_000}.items():
        monkeypatch.setattr(fqe, name, value)
    trained: Trained = read_policy(run, 2)
    values = fqe.fitted_values(*trained.policy, trained.spec, recording.episodes, 1.0, seed=0)
    returns = recording.episodes.rewards.sum(-1)
    assert values.of_states[:, 0].mean().item() == pytest.approx(returns.mean(), rel=0.15)
    assert (values.of_states[~torch.from_numpy(recording.episodes.present)] == 0).all()
    assert estimators.WITH_VALUES[0] == "direct"


def test_of_few_states_there_is_a_marginalised_estimate(tmp_path: Path) -> None:
    """At its own policy it is the mean return; observations that are no numbers of states have none."""
    train([tiny(env__id="FrozenLake-v1", algo__learning_rate=0.05)], [tmp_path / "run"])
    recorded = record_run(tmp_path / "run", episodes=20)
    lake = as_file(recorded)
    answer = evaluate(recorded.trained, lake, "file", 1.0, seed=0)
    found = {one.name: one for one in answer.estimates}
    assert found["marginalised"].value == pytest.approx(recorded.episodes.rewards.sum(-1).mean(), abs=1e-9)
    assert answer.left_out == {}
    remembered = lake._replace(about=lake.about | {"memory": True})
    answer = evaluate(recorded.trained, remembered, "file", 1.0, seed=0)
    assert "marginalised" not in {one.name for one in answer.estimates}
    assert "a network with memory" in answer.left_out["marginalised"]


def test_a_target_with_memory_has_no_marginalised_estimate(tmp_path: Path) -> None:
    config = tiny(env__id="FrozenLake-v1", network__name="gru", algo__minibatches=1)
    train([config], [tmp_path / "run"])
    recorded = record_run(tmp_path / "run", episodes=4)
    assert recorded.about("run")["memory"] is True
    answer = evaluate(recorded.trained, as_file(recorded), "file", 1.0, seed=0)
    assert "a network with memory" in answer.left_out["marginalised"]


def test_without_states_to_count_the_reason_is_given(run: Path, recording: Recording) -> None:
    answer = evaluate(read_policy(run, 2), as_file(recording), "file", 1.0, seed=0)
    assert answer.left_out == {
        "marginalised": "it counts states, and observations of CartPole-v1 are not Discrete"
    }


def changed(**changes: object) -> set[str]:
    """Keys of the recorded process that differ from those of a tiny run."""
    return {name for name, value in process_of(tiny(**changes)).items() if value != process_of(tiny())[name]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env.kwargs", {"sutton_barto_reward": True}),
        ("env.wrappers", ({"TimeLimit": {"max_episode_steps": 20}},)),
        ("env.action_mask", "info"),
        ("env.atari.frame_skip", 2),
        ("env.atari.repeat_action_probability", 0.1),
        ("network.squash", "tanh"),
        ("eval.max_steps", 20),
    ],
)
@pytest.mark.broken_by(
    "episodes of any wrappers",
    "runs/episodes.py",
    '"env.num_envs", "env.backend"',
    '"env.num_envs", "env.wrappers", "env.backend"',
    case="env.wrappers-value1",
)
def test_what_changes_the_process_is_recorded(key: str, value: object) -> None:
    assert changed(**{key.replace(".", "__"): value}) == {key}


def test_what_is_of_training_is_not_recorded() -> None:
    of_training = {
        "env__num_envs": 4, "env__backend": "gymnasium", "env__normalize_observation": True,
        "env__normalize_reward": True, "env__replay_limit": 5, "env__atari__episodic_life": False,
        "env__atari__sign_reward": False, "env__atari__threads": 2, "network__name": "lstm", "seed": 5,
    }  # fmt: skip
    assert changed(**of_training) == set()
    assert all(name in KEYS for name in OF_TRAINING)


def test_actions_that_a_mask_does_not_allow_are_refused(tmp_path: Path) -> None:
    """Of a recorded step its own mask counts, which is in its observation."""
    config = tiny(env__id="tests.envs.probes:ProbeCorridor-v0", env__action_mask="info")
    train([config], [tmp_path / "run"])
    recorded = record_run(tmp_path / "run", episodes=4)
    assert evaluate(recorded.trained, as_file(recorded), "file", 1.0, seed=0).episodes == 4
    found = recorded.episodes
    columns = recorded.trained.spec.observation.mask_width
    allowed = found.observations[:, :-1, -columns:]
    masked = ((allowed == 0).any(-1) & found.present).nonzero()
    assert len(masked[0]) > 0
    actions = found.actions.copy()
    actions[masked] = allowed[masked].argmin(-1)
    with pytest.raises(UserError, match="its own masks of actions do not allow"):
        log_probs_under(recorded.trained, found._replace(actions=actions), "file")


def drawn(count: int) -> estimators.Episodes:
    draw = torch.Generator().manual_seed(0)
    return episodes(torch.multinomial(UNDER_MU, count, replacement=True, generator=draw))


def test_each_estimator_has_figures_of_its_own_weights() -> None:
    data = drawn(200)
    found = {one.name: one for one in summarise(data, 0).estimates}
    assert found["direct"].weights is None
    assert {name for name, one in found.items() if one.weights} == set(estimators.LOG_WEIGHTS)
    for name, log_weights in estimators.LOG_WEIGHTS.items():
        weights, shown = log_weights(data).exp(), found[name].weights
        assert shown is not None
        each = weights.sum(0) ** 2 / weights.square().sum(0)
        assert shown.ess == pytest.approx(each.min().item())
        assert shown.step == (None if weights.shape[1] == 1 else each.argmin().item())
        assert shown.largest == pytest.approx(weights[:, each.argmin()].max().item())
        assert shown.khat is None  # of few kinds of episodes
        assert found[name].warning is None
    noise = torch.rand(data.log_ratios.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data = data._replace(log_ratios=data.log_ratios + noise)
    shown = summarise(data, 0).weights
    assert shown.khat == pytest.approx(khat(data.log_weights).item())


@pytest.mark.broken_by(
    "worthless weights are trusted", "analysis/ope.py", "if not self.ess >= FEW", "if self.ess < 0.0"
)
def test_worthless_estimates_say_why() -> None:
    """One episode outweighs all: estimates with its weight are worthless, the direct method extrapolates."""
    data = drawn(200)
    ratios = data.log_ratios.clone()
    ratios[7, 0] += 30.0
    answer = summarise(data._replace(log_ratios=ratios), 0)
    found = {one.name: one for one in answer.estimates}
    assert found["is"].warning == "the weights leave 1.0 effective episodes of 200"
    assert found["per_decision"].warning == "the weights leave 1.0 effective episodes of 200 at step 0"
    assert found["direct"].warning is not None
    assert "extrapolate" in found["direct"].warning
    assert [name for name, one in found.items() if not one.worthless] == ["truncated", "direct"]
    assert answer.warning == found["is"].warning
    assert answer.lower_bound is None


@pytest.mark.broken_by(
    "capped weights hide wrong log-probabilities",
    "analysis/ope.py",
    "fault = broken or weights.fault(count)",
    "fault = weights.fault(count)",
)
def test_log_probabilities_of_another_policy_are_noticed() -> None:
    """One weight of 10^15 times what the policy that acted would have: no chance explains it."""
    data = drawn(200)
    ratios = data.log_ratios.clone()
    ratios[7, 0] += 36.0
    answer = summarise(data._replace(log_ratios=ratios), 0)
    found = {one.name: one for one in answer.estimates}
    assert found["truncated"].worthless
    assert "cannot be those of the policy that acted" in (found["truncated"].warning or "")
    assert np.isnan(answer.truncation_bias)


def test_a_single_episode_is_too_few() -> None:
    answer = summarise(drawn(1), 0)
    assert answer.warning == "1 episode is too few; record more with --episodes"
    assert all(one.warning for one in answer.estimates)
    assert answer.lower_bound is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["log_probs", "rewards"])
def test_figures_that_are_not_finite_are_worthless(recording: Recording, run: Path, kind: str) -> None:
    content = as_file(recording)
    if kind == "log_probs":
        content = content._replace(log_probs=content.log_probs - 1e300 * recording.episodes.present)
    else:
        rewards = np.where(recording.episodes.present, 1e308, 0.0)
        content = content._replace(episodes=recording.episodes._replace(rewards=rewards))
    answer = evaluate(read_policy(run, 3), content, "file", 1.0, seed=0)
    assert answer.warning == "the estimate is not finite"
    assert answer.lower_bound is None
    for one in answer.estimates:
        assert "nan" not in (one.warning or "")
        finite = all(np.isfinite((one.value, one.low, one.high)))
        assert finite or (one.worthless and one.warning == "the estimate is not finite")


@pytest.mark.broken_by(
    "values fitted to the episodes they are of",
    "analysis/fqe.py",
    "every[half::2], every[1 - half :: 2]",
    "every[half::2], every[half::2]",
)
def test_no_episode_has_a_part_in_its_own_values(run: Path, recording: Recording) -> None:
    """Other rewards of the episodes of even index change the values of those of odd index alone."""
    trained, found = read_policy(run, 2), recording.episodes
    rewards = found.rewards.copy()
    rewards[::2] *= 3.0
    first, second = (
        fqe.fitted_values(*trained.policy, trained.spec, each, 1.0, seed=0)
        for each in (found, found._replace(rewards=rewards))
    )
    assert torch.equal(first.of_actions[::2], second.of_actions[::2])
    assert torch.equal(first.of_states[::2], second.of_states[::2])
    assert (first.of_states[1::2, 0] != second.of_states[1::2, 0]).all()
