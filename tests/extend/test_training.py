"""Own networks, algorithms and metrics in training: cohorts, probes, and what happens when they fail."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from rlcli.backends import kernel
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build
from rlcli.envs import registry
from rlcli.errors import RlcliError
from rlcli.extend import spaces
from rlcli.learner.hyperparameters import hyperparameters
from rlcli.learner.model import readable
from rlcli.learner.table import algorithm
from rlcli.nets.pixels import PixelEncoder
from rlcli.sweeps.preflight import own_code_works
from tests.extend.conftest import ALGORITHM, METRIC, NETWORK, Write
from tests.extend.page import PAGE
from tests.learner.setting import PROBES, ROWS
from tests.runs.tiny import TINY

OWN = {"network.name": "two", "algo.surrogate": "damped", "imports": ("mine",)}
KEYS: dict[str, Any] = {"network.two.width": 4, "algo.damped.damping": 0.5}


def config(**changes: Any) -> RunConfig:
    return build(TINY | {"env.kwargs": {"max_episode_steps": 9}} | OWN | KEYS | changes)


def trained(*configs: RunConfig, updates: int = 2) -> list[dict[str, torch.Tensor]]:
    session = NativeSession(configs)
    for _ in range(updates):
        rows = session.update()
        assert not any(isinstance(row, Failure) for row in rows.values())
    return [session.state(run).tensors for run in range(len(configs))]


@pytest.mark.broken_by(
    "a formula sees the advantages of all runs",
    "learner/own_algorithm.py",
    "log_anchor[at], advantages[at], _of_run(own, run)",
    "log_anchor[at], advantages[at] - advantages.mean(), _of_run(own, run)",
)
@pytest.mark.broken_by(
    "every run has the keys of the first",
    "learner/own_algorithm.py",
    "return hyper.map(lambda table: table[run : run + 1])",
    "return hyper.map(lambda table: table[:1])",
)
def test_each_run_of_a_cohort_is_the_lone_run(write: Write) -> None:
    write(NETWORK, ALGORITHM.replace("- advantages.mean()", "- advantages.mean() + advantages.sum()"), METRIC)
    configs = [
        config(seed=seed, **{"algo.damped.damping": damping}) for seed, damping in ((1, 0.0), (2, 3.0))
    ]
    together = trained(*configs)
    for each, one in zip(configs, together, strict=True):
        [alone] = trained(each)
        assert alone.keys() == one.keys()
        assert all(torch.equal(alone[name], one[name]) for name in alone)


def test_the_formula_is_the_one_that_was_written(write: Write) -> None:
    """A surrogate ρ A of the user's trains to the bits of ours; a penalty is subtracted."""
    ratio = ALGORITHM.replace(
        "return ratio * centred - hyper.damping * (ratio - 1.0) ** 2", "return ratio * advantages"
    )
    write(ratio)
    plain = {"network.name": "mlp", "compute.kernel": "torch"}
    [own], [ours] = (
        trained(config(**plain, **{"algo.surrogate": name, "imports": ()})) for name in ("damped", "ratio")
    )
    assert all(torch.equal(own[name], ours[name]) for name in ours)


@pytest.mark.broken_by(
    "the penalty added",
    "learner/own_algorithm.py",
    "objective.value - penalty.value",
    "objective.value + penalty.value",
)
def test_a_penalty_is_subtracted(write: Write) -> None:
    write(ALGORITHM.replace("surrogate=damped", "penalty=damped"))
    row = algorithm(build({"algo.surrogate": "ratio", "algo.penalty": "damped", "algo.damped.damping": 2.0}))
    hyper = hyperparameters([config(**{"algo.damped.damping": 2.0})], [0], "cpu")
    log_prob, log_anchor = torch.tensor([[0.1, -0.3]]), torch.tensor([[0.0, 0.2]])
    advantages = torch.tensor([[1.0, -1.0]])
    found = row.surrogate(log_prob, log_anchor, advantages, hyper)
    rho = (log_prob - log_anchor).exp()
    torch.testing.assert_close(found.value, 2.0 * (rho - 1.0) ** 2)
    torch.testing.assert_close(found.slope, 4.0 * (rho - 1.0) * rho)
    assert row.penalty is None


def test_metrics_are_figures_of_the_row_and_change_nothing(write: Write) -> None:
    write(NETWORK, ALGORITHM, METRIC)
    session = NativeSession([config(seed=3)])
    row = session.update()[0]
    assert not isinstance(row, Failure)
    assert row["mine/spread"] > 0
    without = replace(config(seed=3), imports=())
    assert all(
        map(
            torch.equal,
            *([one[name] for name in one] for [one] in map(trained, ([config(seed=3)][0], without))),
        )
    )


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("network.name", {"algo.surrogate": "clipped"}),
        ("algo.surrogate", {"network.name": "mlp"}),
        ("algo.targets", {"network.name": "mlp", "algo.surrogate": "ratio", "algo.targets": "damped"}),
        ("algo.penalty", {"network.name": "mlp", "algo.surrogate": "ratio", "algo.penalty": "damped"}),
        ("algo.step_rule", {"network.name": "mlp", "algo.surrogate": "ratio", "algo.step_rule": "damped"}),
    ],
)
def test_kernels_do_not_cover_them_and_say_so(write: Write, key: str, changes: dict[str, Any]) -> None:
    write(NETWORK, ALGORITHM)
    one = config(**changes)
    choice = kernel.choose(one, registry.describe(one.env))
    assert choice.kernel == "torch"
    assert choice.reason.startswith(f"{key}=")


def test_actions_of_own_networks_are_squashed_and_deviate_by_state_too(write: Write) -> None:
    """Both are of the policy's distribution, not of the network; the state's deviations are outputs of it."""
    write(NETWORK)
    words = ["network=two", "env=Pendulum-v1", "network.squash=tanh", "network.log_std=state", "tuned=none"]
    chosen = compose([*words, "algo.rollout_steps=8", "algo.minibatches=2", "env.num_envs=2"]).config
    assert list(own_code_works(chosen, {})) == []
    [tensors] = trained(chosen, updates=1)
    assert tensors["train.policy.parameters"].isfinite().all()


PLAIN = {
    "network.name": "mlp",
    "algo.surrogate": "clipped",
    "algo.step_rule": "stepped",
    "compute.kernel": "torch",
}
FORWARD = "return self.actor(observations), self.critic(observations).squeeze(-1)"
FORMULA = "return ratio * centred - hyper.damping * (ratio - 1.0) ** 2"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".squeeze(-1)", "", r"mine.py:16: network 'two' gave \(3, 2\) float32 and \(3, 1\) float32 for 3"),
        (FORWARD, "return self.actor(observations)", "gave one Tensor for 3 observations, expected two"),
        (FORWARD, "return self.actor(observations) / 0, observations.sum(-1)", "outputs that are not finite"),
        (
            FORWARD,
            "return nn.functional.dropout(self.actor(observations)), observations[:, 0]",
            "other results",
        ),
        (FORWARD, "raise ValueError('no')", r"raised for 3 observations of 4 numbers: mine.py:\d+: ValueErr"),
        ("nn.Linear(inputs, 1)", "nn.BatchNorm1d(inputs)", "has buffers .critic.running_mean"),
        (
            "self.critic = ",
            "self.scale = torch.ones(1); self.critic = ",
            "keeps the tensor scale beside its par",
        ),
        (
            "nn.Linear(inputs, 1)",
            "nn.Linear(inputs, 1); next(self.critic.parameters()).data.fill_(random.random())",
            "has other initial weights when it is made again",
        ),
        ("return Two(", "return (", "gave tuple, expected a torch.nn.Module"),
        ("return Two(", "return missing(", "cannot be made: mine.py:17: NameError"),
        (FORMULA, "return ratio.mean()", r"mine.py:\d+: algo.surrogate=damped gave a tensor of shape \(\)"),
        (FORMULA, "return 3.0", r"algo.surrogate=damped gave float, expected a tensor of shape \(1, 8\)"),
        (FORMULA, "return ratio.detach() * advantages", "without a slope by log_prob"),
        (FORMULA, "advantages -= 1.0; return ratio * advantages", "changed a tensor that it was called with"),
        (FORMULA, "return ratio * torch.rand(1)", "gave other values when it was called again"),
        (
            FORMULA,
            "return ratio * hyper.dampin",
            r"raised mine.py:\d+: AttributeError: dampin is not a hyperp",
        ),
    ],
)
def test_what_fails_at_once_fails_before_training(write: Write, old: str, new: str, message: str) -> None:
    source = NETWORK + ALGORITHM + "\nimport random\n\nimport torch\n"
    assert old in source
    write(source.replace(old, new))
    [fault] = own_code_works(config(), {})
    assert re.search(message, fault.text), fault.text


def forward(policy: str = "self.actor(observations)", value: str = "self.critic(observations)") -> str:
    """The network with other results; the last columns of `value` are summed."""
    return NETWORK.replace(FORWARD, f"return {policy}, ({value}).sum(-1)") + "\nimport torch\n"


SQUARE = """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(context, given):
        return given**2

    @staticmethod
    def backward(context, slope):
        raise ValueError("no slope")
"""


@pytest.mark.broken_by(
    "rows are compared with rows of the same batch",
    "learner/own_network.py",
    "_results(network, module, row) for row in torch.split(inputs, 1)",
    "[one[at : at + 1] for one in together] for at in range(len(inputs))",
    case="batch",
)
@pytest.mark.broken_by(
    "a network in evaluation mode is not tried",
    "learner/own_network.py",
    "module.eval()\n",
    "pass\n",
    case="mode",
)
@pytest.mark.broken_by(
    "policies without a gradient train",
    "learner/own_network.py",
    "if all(slope is None for slope in slopes):",
    "if False:",
    case="policy",
)
@pytest.mark.broken_by(
    "networks that change observations",
    "learner/own_network.py",
    "if fault is None and not torch.equal(inputs, before):",
    "if False:",
    case="inputs",
)
@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            forward("self.actor(observations) - self.actor(observations).mean(0)"),
            r"mine.py:\d+: network 'two' gave other results for an observation alone than among others: its "
            "outputs of one observation depend on the others in the batch",
            id="batch",
        ),
        pytest.param(
            forward(value="self.critic(observations).cumsum(0)"),
            "depend on the others in the batch",
            id="batch of the value",
        ),
        pytest.param(
            forward().replace("nn.Tanh()", "nn.BatchNorm1d(width, track_running_stats=False)"),
            r"raised for 1 observation of 4 numbers: mine.py:\d+: ValueError: Expected more than 1 value per",
            id="batch norm",
        ),
        pytest.param(
            forward().replace("nn.Tanh()", "nn.Dropout()"),
            "called again .* draws such as dropout",
            id="dropout",
        ),
        pytest.param(
            forward("self.actor(observations) * (2.0 if self.training else 1.0)"),
            r"network 'two' gave other results after module.eval\(\)",
            id="mode",
        ),
        pytest.param(
            forward("self.actor(observations).detach()"),
            r"mine.py:\d+: network 'two' gave policy outputs without a gradient by any parameter",
            id="policy",
        ),
        pytest.param(
            forward(value="self.critic(observations).detach()"),
            "gave values without a gradient by any parameter",
            id="value",
        ),
        pytest.param(
            forward("torch.zeros(len(observations), 2, requires_grad=True)"),
            "gave policy outputs without a gradient",
            id="other leaf",
        ),
        pytest.param(
            forward("Square.apply(self.actor(observations))") + SQUARE,
            r"raised for the gradient of its policy outputs: mine.py:\d+: ValueError: no slope",
            id="backward",
        ),
        pytest.param(
            forward("torch.from_numpy(self.actor(observations).numpy())"),
            r"raised for 3 observations of 4 numbers: mine.py:\d+: RuntimeError: Can't call numpy",
            id="numpy",
        ),
        pytest.param(
            forward("self.actor(observations.mul_(0.5))"),
            "network 'two' changed the observations that it was called with",
            id="inputs",
        ),
        pytest.param(
            forward().replace("forward(self, observations)", "forward(self, observations, state)"),
            "raised for 3 observations of 4 numbers: TypeError: .* missing 1 required positional .* 'state'",
            id="memory",
        ),
    ],
)
def test_a_network_is_a_function_of_each_observation_that_can_be_learnt(
    write: Write, source: str, message: str
) -> None:
    assert FORWARD not in source
    write(source, ALGORITHM)
    [fault] = own_code_works(config(), {})
    assert re.search(message, fault.text), fault.text


@pytest.mark.parametrize(
    "source",
    [
        forward(value="self.critic(observations).detach()"),
        forward().replace("nn.Tanh()", "nn.Dropout().eval()"),
        forward().replace("nn.Tanh()", "nn.LayerNorm(width)"),
        forward("self.actor(observations) * 0.0"),
    ],
    ids=["value", "dropout", "norm", "zeros"],
)
def test_a_network_that_can_be_trained_is_admitted(write: Write, source: str) -> None:
    """Without a value loss, values need no gradient."""
    write(source, ALGORITHM)
    assert list(own_code_works(config(**{"algo.value_coef": 0.0}), {})) == []


EXITS = ("SystemExit(3)", "KeyboardInterrupt", "GeneratorExit")


@pytest.mark.broken_by(
    "a network ends the process",
    "learner/own_network.py",
    "except BaseException as error:\n        width",
    "except Exception as error:\n        width",
    case="forward-SystemExit(3)",
)
@pytest.mark.broken_by(
    "a KeyboardInterrupt of a network taken for a Ctrl-C",
    "sweeps/preflight.py",
    "with interrupts_noticed():",
    "with contextlib.nullcontext():",
    case="forward-KeyboardInterrupt",
)
@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize(
    ("old", "place"),
    [(FORWARD, "raised for"), ("return Two(", "cannot be made"), (FORMULA, "surrogate=damped raised")],
    ids=["forward", "factory", "surrogate"],
)
def test_code_that_exits_is_refused_as_code_that_raises(
    write: Write, old: str, place: str, kind: str
) -> None:
    source = NETWORK + ALGORITHM
    write(source.replace(old, f"raise {kind}; {old}"))
    try:
        [fault] = own_code_works(config(), {})
    except KeyboardInterrupt:
        pytest.fail("it would end the process")
    assert re.search(rf"{place}.* mine.py:\d+: {kind.partition('(')[0]}", fault.text), fault.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (FORWARD, f"if len(observations) == 32: raise SystemExit(3)\n        {FORWARD}"),
        ("return update.advantages.std()", "raise SystemExit(3)"),
        (FORMULA, f"if log_prob.shape[1] == 16: raise SystemExit(3)\n    {FORMULA}"),
    ],
    ids=["network", "metric", "surrogate"],
)
def test_code_that_exits_in_training_fails_its_run(write: Write, old: str, new: str) -> None:
    source = "\n".join((NETWORK, ALGORITHM, METRIC))
    assert old in source
    write(source.replace(old, new))
    assert list(own_code_works(config(), {})) == []
    failure = NativeSession([config()]).update()[0]
    assert isinstance(failure, Failure)
    assert re.search(r"raised mine.py:\d+: SystemExit: 3", str(failure.error)), failure.error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            FORMULA,
            "assert hyper.damping < 1, 'damped'; " + FORMULA,
            "surrogate=damped raised mine.py:.*damped",
        ),
        (
            FORMULA,
            "return ratio if hyper.damping < 1 else ratio[:, :3]",
            r"shape \(1, 3\) .*expected \(1, 16\)",
        ),
        (
            FORMULA,
            "return ratio * (1 if hyper.damping < 1 else float('nan'))",
            "damped gave values that are not finite .nan., exp",
        ),
    ],
)
def test_a_failure_in_training_is_of_its_run_alone(write: Write, old: str, new: str, message: str) -> None:
    write(NETWORK + ALGORITHM.replace(old, new))
    sound, broken = config(seed=1), config(seed=2, **{"algo.damped.damping": 2.0})
    session = NativeSession([sound, broken])
    rows = session.update()
    failure = rows[1]
    assert isinstance(failure, Failure)
    assert failure.update == 1
    assert re.search(message, str(failure.error)), failure.error
    assert type(failure.error).__name__ == "NonFiniteError"
    assert not isinstance(rows[0], Failure)
    [alone] = trained(sound, updates=1)
    together = session.state(0).tensors
    assert all(torch.equal(alone[name], together[name]) for name in alone)


@pytest.mark.broken_by(
    "own networks in single precision alone",
    "learner/own_network.py",
    "wrong_result(found, rows, self.outputs, own[FREE].dtype)",
    "wrong_result(found, rows, self.outputs)",
)
def test_natural_steps_of_own_networks_are_taken(write: Write) -> None:
    write(NETWORK)
    natural = {f"algo.{key}": value for key, value in ROWS["trpo"].items()}
    row = NativeSession([config(**natural | {"algo.minibatches": 1})]).update()[0]
    assert not isinstance(row, Failure)
    assert row["update/step_accepted"] > 0
    assert row["behaviour/kl_mu_pi"] > 1e-3


IMAGES = {"env.id": f"{PROBES}ProbeFlash-v0", "network.name": "spots"}
MIXED: dict[str, Any] = {"env.kwargs": {"given": "observation"}, "env.action_mask": "observation.legal"}


def over_images(**changes: Any) -> RunConfig:
    return build(TINY | {"imports": ("mine",)} | IMAGES | changes)


@pytest.mark.parametrize("masked", [False, True])
def test_the_network_over_images_of_the_page_trains_alone_as_in_a_cohort(write: Write, masked: bool) -> None:
    write(re.findall(r'```python\n("""network=spots:.*?)```', PAGE, re.DOTALL)[0])
    given: dict[str, Any] = {"env.kwargs": {"given": "info"}, "env.action_mask": "info"} if masked else {}
    configs = [over_images(seed=seed, **given) for seed in (1, 2)]
    assert list(own_code_works(configs[0], {})) == []
    together, [alone] = trained(*configs), trained(configs[1])
    assert all(torch.equal(alone[name], together[1][name]) for name in alone)


PARTS = """
import rlcli
import torch
from torch import nn


class Parts(nn.Module):
    def __init__(self, space, outputs):
        super().__init__()
        self.space = space
        self.actor, self.critic = nn.Linear(17, outputs), nn.Linear(1, 1)

    def forward(self, observations):
        image, clock = rlcli.take_apart(observations, self.space)
        seen = torch.cat((image.flatten(1) / 255.0, clock), -1)
        return self.actor(seen), self.critic(clock).squeeze(-1)


def parts(observation_space, action_space, outputs):
    return Parts(observation_space, outputs)


rlcli.register_network("parts", parts, "Image and clock.")
"""


def test_a_network_over_images_and_numbers_with_a_mask(write: Write) -> None:
    write(PARTS)
    config = over_images(**MIXED | {"network.name": "parts", "env.normalize_observation": True})
    assert list(own_code_works(config, {})) == []
    trained(config)


def test_a_network_that_cannot_read_images_fails_before_training(write: Write) -> None:
    write(PARTS.replace("image.flatten(1) / 255.0", "image.flatten(1)[:, :3] / 255.0"))
    [fault] = own_code_works(over_images(**MIXED | {"network.name": "parts"}), {})
    assert re.search(
        r"network 'parts' raised for 3 observations of 20 bytes: mine.py:\d+: Runtime", fault.text
    )


def test_observations_come_apart_by_the_space_of_the_factory() -> None:
    """As the encoder takes them apart; without content too."""
    spec = registry.describe(over_images(**MIXED).env)
    space = spaces.observation_space(spec.observation)
    encoder = readable(over_images(**MIXED | {"network.name": "impala_resnet"}), spec)
    assert isinstance(encoder, PixelEncoder)
    rows = encoder.trial(5)
    image, clock = spaces.take_apart(rows, space)
    [planes], numbers = encoder.apart(rows)
    assert torch.equal(image.movedim(-1, 1), planes)
    assert torch.equal(clock, numbers)
    shapes = [(part.shape, part.dtype) for part in spaces.take_apart(rows.to("meta"), space)]
    assert shapes == [((5, 4, 4, 1), torch.uint8), ((5, 1), torch.float32)]
    flat = spaces.observation_space(registry.describe(config().env).observation)
    [same] = spaces.take_apart(torch.ones(3, 4), flat)
    assert torch.equal(same, torch.ones(3, 4))


def test_a_network_that_breaks_later_names_itself(write: Write) -> None:
    broken = "self.actor(observations) / (len(observations) != 32),"
    write(NETWORK.replace("self.actor(observations),", broken), ALGORITHM)
    failure = NativeSession([config()]).update()[0]
    assert isinstance(failure, Failure)
    assert "mine.py:16: network 'two' gave policy outputs that are not finite" in str(failure.error)


def test_a_metric_that_fails_fails_its_run(write: Write) -> None:
    write(NETWORK, ALGORITHM, METRIC.replace("return update.advantages.std()", "return 1 / 0"))
    failure = NativeSession([config()]).update()[0]
    assert isinstance(failure, Failure)
    assert re.search(
        r"mine.py:\d+: the metric mine/spread raised mine.py:\d+: ZeroDivisionError", str(failure.error)
    )


STEP = """
import rlcli
from rlcli.learner.sgd import sgd


def stepped(start):
    return sgd(start)


rlcli.register_algorithm("stepped", "Ours.", step_rule=stepped)
"""


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("raise KeyError('no')", r"mine.py:6: algo.step_rule=stepped raised mine.py:7: KeyError"),
        ("raise SystemExit(3)", r"algo.step_rule=stepped raised mine.py:7: SystemExit: 3"),
        ("return 3", "algo.step_rule=stepped gave int, expected an Improvement"),
        (
            "return sgd(start)._replace(parameters=start.parameters[:, :3])",
            r"gave parameters of shape \(1, 3\) .* expected \(1, \d+\)",
        ),
    ],
)
def test_a_step_rule_that_fails_is_named(write: Write, new: str, message: str) -> None:
    write(STEP.replace("return sgd(start)", new))
    session = NativeSession([config(**PLAIN)])
    with pytest.raises(RlcliError, match=message):
        session.update()


def test_a_step_rule_of_ones_own_trains(write: Write) -> None:
    write(STEP)
    ours = config(**PLAIN | {"algo.step_rule": "sgd", "imports": ()})
    [own], [other] = trained(config(**PLAIN)), trained(ours)
    assert all(torch.equal(own[name], other[name]) for name in other)
