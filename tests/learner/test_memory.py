"""Updates of networks with memory: what acting computed is computed again, step by step and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlcli.config.compose import compose
from rlcli.errors import UserError
from rlcli.learner import sgd
from rlcli.learner.batch import by_run, memory_of
from rlcli.learner.sgd import minibatches
from rlcli.learner.successors import FromMemory
from rlcli.maths.natural import fisher_vector_product
from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR
from tests.learner.recurrent import remembering
from tests.learner.setting import ROWS, Stage, hold, same, stage

LEARNING = [row for row in (*ROWS, "ppo") if row != "ppg"]
cells = pytest.mark.parametrize("cell", ["lstm", "gru"])


def values_of_successors(now: Stage, observations: Tensor, rollout) -> Tensor:
    """V of what each step led to [T, R, N]: one step at a time, by the state after it."""
    model, policy = now.model, now.state.policy
    state, found = rollout.memory, []
    ended = rollout.terminated | rollout.truncated
    for t in range(len(rollout.rewards)):
        rows = model.encode(policy, rollout.observations[t])
        state = model.network.heads(policy.parameters, rows, Memory(state)).memory
        following = model.encode(policy, observations[t])
        found.append(model.value(policy.parameters, following, Memory(state)))
        state = torch.where(ended[t].unsqueeze(-1), 0.0, state)
    return torch.stack(found)


@pytest.mark.broken_by(
    "rollouts learnt from as if they had begun without memory",
    "learner/batch.py",
    "Memory(rollout.memory, by_run(rollout.begins))",
    "Memory(rollout.memory * 0, by_run(rollout.begins))",
    case="0-lstm",
)
@pytest.mark.broken_by(
    "episodes learnt from as if one went on into the next",
    "learner/batch.py",
    "Memory(rollout.memory, by_run(rollout.begins))",
    "Memory(rollout.memory, by_run(rollout.begins) & False)",
    case="0-lstm",
)
@pytest.mark.broken_by(
    "memory forgotten at an episode's last step",
    "collect/rollout.py",
    "return torch.cat((torch.zeros_like(ended[:1]), ended[:-1]))",
    "return ended",
    case="0-gru",
)
@pytest.mark.broken_by(
    "a policy that acted without the critic's state going on",
    "nets/recurrent/acting.py",
    "return output, np.concatenate(list(after), -1)",
    "return output, np.concatenate([after[0], *states[1:]], -1)",
    case="0-lstm",
)
@cells
@pytest.mark.parametrize("lag", [0, 2])
def test_an_update_computes_what_acting_computed(lag, cell):
    """Outputs and states, of both trunks, over rollouts that begin within episodes."""
    now = stage(*(remembering(cell, seed=seed, lag=lag) for seed in (0, 1))).after(3)
    rollout = now.collect()
    assert (rollout.memory != 0).any()
    assert (rollout.memory[..., -5:] != 0).any()
    learned = now.learn(rollout)
    assert all(all(mask) for mask in hold(learned).values()), hold(learned)
    after = now.collector.states
    behaved = now.state.policy if not lag else now.state.queue
    parameters = behaved.parameters if not lag else behaved.parameters[:, 0]
    heads = now.model.network.heads(parameters, learned.batch.inputs, memory_of(rollout))
    ended = (rollout.terminated | rollout.truncated)[-1]
    last = by_time_of_states(heads.memory, 16)[-1]
    left = torch.stack([torch.from_numpy(state.memory) for state in after])
    torch.testing.assert_close(torch.where(ended.unsqueeze(-1), 0.0, last), left, rtol=1e-5, atol=1e-6)


def by_time_of_states(states: Tensor, steps: int) -> Tensor:
    """[R, B, M] -> [T, R, N, M]."""
    return states.view(len(states), steps, -1, states.shape[-1]).transpose(0, 1)


@pytest.mark.broken_by(
    "values of final observations from no memory",
    "learner/successors.py",
    "following = self._model.value(parameters, self._following, Memory(after))",
    "following = self._model.value(parameters, self._following, Memory(after * 0))",
    case="lstm",
)
@pytest.mark.broken_by(
    "the end of a rollout valued by its beginning",
    "learner/successors.py",
    "        self._last[-1] = True\n",
    "",
    case="gru",
)
@cells
def test_values_of_true_successors(cell):
    """At time limits and at the rollout's end, by the state after the step."""
    now = stage(*(remembering(cell, seed=seed) for seed in (0, 1))).after(2)
    rollout, policy, model = now.collect(), now.state.policy, now.model
    inputs, memory = model.encode(policy, by_run(rollout.acted_on)), memory_of(rollout)
    values = model.value(policy.parameters, inputs, memory)
    found = FromMemory(model, policy, rollout, inputs, memory)(policy.parameters, values)
    wanted = values_of_successors(now, rollout.successors(), rollout)
    assert rollout.truncated.any()
    assert not (rollout.terminated | rollout.truncated)[-1].all()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.broken_by(
    "minibatches with the memory of other environments",
    "learner/sgd.py",
    "sequences = shuffle_sequences(order, parts, batch.memory.state.shape[1])",
    "sequences = shuffle_sequences(order.flip(-1), parts, batch.memory.state.shape[1])",
)
@cells
def test_minibatches_are_whole_sequences_with_their_own_memory(cell, monkeypatch):
    """What is computed of a minibatch is what is computed of its rows in the whole batch."""
    now = stage(*(remembering(cell, seed=seed) for seed in (0, 1))).after(2)
    seen = []
    monkeypatch.setattr(sgd, "minibatches", lambda *given: seen.append(given) or minibatches(*given))
    now.learn(now.collect())
    start, batch, epoch = seen[0]
    whole = now.model.read(start.parameters, batch.inputs, batch.memory).state
    order = start.permutations(epoch).view(2, 2, 32)
    for part, minibatch in enumerate(minibatches(start, batch, epoch)):
        assert minibatch.memory.state.shape[:2] == (2, 2)
        found = now.model.read(start.parameters, minibatch.inputs, minibatch.memory).state
        for run in range(2):
            torch.testing.assert_close(found[run], whole[run, order[run, part]], rtol=1e-5, atol=1e-6)


@cells
@pytest.mark.parametrize("row", LEARNING)
def test_every_algorithm_learns_with_memory_and_together_as_alone(row, cell):
    algo = {"minibatches": 1} if row in ("a2c", "mdpo", "reinforce") else {}
    configs = [remembering(cell, row=row, seed=seed, algo=algo, lag=int(row == "ppo")) for seed in (3, 4)]
    together, alone = stage(*configs), stage(configs[1])
    for _ in range(2):
        learned, own = (now.learn(now.collect()) for now in (together, alone))
        assert all(all(mask) for mask in hold(learned).values())
        for name, figure in own.figures.items():
            assert same(figure[0], learned.figures[name][1]), name
        assert same(own.state.policy.parameters[0], learned.state.policy.parameters[1])
        together, alone = together._replace(state=learned.state), alone._replace(state=own.state)
    assert (learned.figures["behaviour/kl_mu_pi"] > 0).all()


@pytest.mark.broken_by(
    "estimates of later epochs from no memory",
    "learner/estimator.py",
    "self._model.both_heads(parameters, self._inputs, self._memory)",
    "self._model.both_heads(parameters, self._inputs, self._memory._replace(begins=None))",
    case="lstm",
)
@cells
def test_estimates_at_the_parameters_before_are_those_of_the_batch(cell, monkeypatch):
    now, seen = stage(remembering(cell, algo={"recompute": "epoch"})).after(2), []
    monkeypatch.setattr(sgd, "minibatches", lambda *given: seen.append(given) or minibatches(*given))
    now.learn(now.collect())
    (start, batch, _), (_, later, _) = seen
    advantages, targets = start.estimate(start.parameters)
    assert same(advantages, batch.advantages)
    assert same(targets, batch.targets)
    assert not torch.equal(later.targets, batch.targets)


@pytest.mark.broken_by(
    "a natural step through memory that ignores the steps before",
    "nets/recurrent/lstm.py",
    "from_hidden, from_cell = by_gates @ weight, through * back[t]",
    "from_hidden, from_cell = torch.zeros_like(through), torch.zeros_like(through)",
    case="lstm",
)
@cells
def test_the_fisher_product_through_time_is_the_explicit_matrix(cell):
    """Σ over states of Jᵀ F J / B, its Jacobian by central differences of the unrolled outputs."""
    now = stage(remembering(cell, network={"hidden": (2,), "cell_size": 2, "policy_gain": 1.0})).after(1)
    rollout, network, family = now.collect(), now.model.network, now.model.family
    inputs = now.model.encode(now.state.policy, by_run(rollout.acted_on)).double()
    memory, parameters = memory_of(rollout).double(), now.state.policy.parameters.double()
    block, step = network.parts[ACTOR], 1e-6
    linear = network.linearise(parameters, inputs, memory, part=ACTOR, repeatedly=True)
    policy = family.distribution(linear.heads.output, linear.heads.free)
    columns = []
    for place in range(block.start, block.stop):
        ends = []
        for sign in (1, -1):
            moved = parameters.clone()
            moved[:, place] += sign * step
            ends.append(network.heads(moved, inputs, memory, part=ACTOR).output[0])
        columns.append((ends[0] - ends[1]) / (2 * step))
    jacobian, probs = torch.stack(columns, -1), policy.probs[0]
    covariance = torch.diag_embed(probs) - probs.unsqueeze(-1) * probs.unsqueeze(-2)
    matrix = torch.einsum("bdp,bde,beq->pq", jacobian, covariance, jacobian) / len(probs)

    def jvp(tangent: Tensor) -> tuple[Tensor, Tensor]:
        moved = linear.jvp(tangent)
        return moved.output, moved.free

    def vjp(by_output: Tensor, by_free: Tensor) -> Tensor:
        return linear.vjp(linear.heads._replace(output=by_output, free=by_free))

    tangent = torch.randn(1, block.stop - block.start, dtype=torch.float64)
    found = fisher_vector_product(policy, jvp, vjp)(tangent)
    torch.testing.assert_close(found[0], matrix @ tangent[0], rtol=1e-6, atol=1e-9)


def test_what_cannot_have_memory_is_refused():
    for typed, message in {
        "network=lstm algo.minibatches=3 tuned=none": r"^algo.minibatches=3 does not divide env.num_envs=\d+",
        "network=gru algo.minibatch_of=samples algo.minibatches=2": "as network=gru does",
        "network=gru algo=ppg": "algo.step_rule=phasic cannot train network.name=gru",
        "network=lstm algo=trpo network.shared=true": "cannot train network.shared=true",
        "network.cell_size=8": "network.cell_size has no effect with network.name=mlp",
        "network.before=nature_cnn": "network.before has no effect with network.name=mlp; it needs",
        "network=gru network.before=natur_cnn": "did you mean 'nature_cnn'",
        "network=gru network.before=nature_cnn network.activation=tanh": "network.activation has no effect",
    }.items():
        with pytest.raises(UserError, match=message):
            compose(typed.split())
    whole = "network=gru algo.minibatch_of=samples algo.minibatches=1 network.cell_size=8"
    assert compose(whole.split()).config.network.cell_size == 8


def test_a_batch_has_its_memory_by_name():
    now = stage(remembering("lstm"))
    named = now.learn(now.collect()).batch.tensors()
    assert (named["memory.state"].shape, named["memory.begins"].shape) == ((1, 4, 20), (1, 64))
