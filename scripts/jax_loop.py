"""PPO on CartPole as one jitted JAX program, to compare speeds with: nothing is logged, checked or saved.

The shape is that of conf/experiment/benchmark_shape.yaml: 8 environments x 128 steps, 4 epochs of 4
minibatches, two tanh networks of 64-64. Environments, acting, advantages and gradient steps of all updates
are inside one compiled loop, as PureJaxRL (Lu et al. 2022) made known; `--seeds` of them run side by side by
`jax.vmap`. As in rlcli, V is computed in whole batches, and episodes cut off by their limit bootstrap it.

    python scripts/jax_loop.py --updates 200               seconds of 200 updates, after compilation
    python scripts/jax_loop.py --updates 500 --return      and mean returns, the last and the highest

JAX is not among the packages of this project: `make bench ARGS='--python PATH'` takes it from an interpreter
that has it.

Shapes: T steps, N environments, B = T N samples, M minibatches.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Params = Any
NUM_ENVS, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
BATCH = NUM_ENVS * STEPS
GAMMA, TRACE_DECAY, CLIP, VALUE_COEF, MAX_NORM, LEARNING_RATE = 0.99, 0.95, 0.2, 0.5, 0.5, 2.5e-4
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-5
HIDDEN, OBSERVED, ACTIONS, TIME_LIMIT = (64, 64), 4, 2, 500


class Envs(NamedTuple):
    """The carts of one run and their unfinished episodes."""

    state: Array
    """[N, 4]: position, velocity, angle, angular velocity."""
    lengths: Array
    """[N]: steps so far, which are the return too."""


class Adam(NamedTuple):
    """Moments of each parameter, and steps taken."""

    first: Params
    second: Params
    steps: Array


class Training(NamedTuple):
    """Everything that one run carries from update to update."""

    params: Params
    adam: Adam
    envs: Envs
    key: Array
    mean_return: Array
    """Of the episodes that ended in the last updates, an older update counting 0.9 of the next."""
    best: Array
    """The highest of these so far."""


class Samples(NamedTuple):
    """What gradient steps read, [T, N, ...] or [B, ...]."""

    observations: Array
    successors: Array
    """What each step led to, before a new episode begins."""
    actions: Array
    log_probs: Array
    fallen: Array
    ended: Array


def begun(key: Array) -> Array:
    """First states, [N, 4]."""
    return jax.random.uniform(key, (NUM_ENVS, OBSERVED), minval=-0.05, maxval=0.05)


def step(envs: Envs, actions: Array, key: Array) -> tuple[Envs, Array, Array, Array]:
    """What is next, what the steps led to, where carts failed, and where episodes ended; those begin anew.

    The equations of Barto, Sutton and Anderson (1983) without friction, Euler steps of 0.02 s.
    """
    _, velocity, angle, spin = envs.state.T
    cart, pole, half_length, gravity, seconds = 1.0, 0.1, 0.5, 9.8, 0.02
    total = cart + pole
    force = jnp.where(actions == 1, 10.0, -10.0)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    pushed = (force + pole * half_length * spin**2 * sine) / total
    turning = (gravity * sine - cosine * pushed) / (half_length * (4 / 3 - pole * cosine**2 / total))
    acceleration = pushed - pole * half_length * turning * cosine / total
    moved = envs.state + seconds * jnp.stack((velocity, acceleration, spin, turning), 1)
    lengths = envs.lengths + 1
    fallen = (jnp.abs(moved[:, 0]) > 2.4) | (jnp.abs(moved[:, 2]) > 12 * jnp.pi / 180)
    ended = fallen | (lengths >= TIME_LIMIT)
    state = jnp.where(ended[:, None], begun(key), moved)
    return Envs(state, jnp.where(ended, 0, lengths)), moved, fallen, ended


def layers(key: Array, outputs: int, scale: float) -> list[tuple[Array, Array]]:
    """Orthogonal weights and zero biases of one network."""
    widths = (OBSERVED, *HIDDEN, outputs)
    scales = (*(2**0.5,) * len(HIDDEN), scale)
    keys = jax.random.split(key, len(scales))
    return [
        (jax.nn.initializers.orthogonal(gain)(each, (inputs, width)), jnp.zeros(width))
        for each, gain, inputs, width in zip(keys, scales, widths[:-1], widths[1:], strict=True)
    ]


def network(own: list[tuple[Array, Array]], rows: Array) -> Array:
    """Outputs at rows of observations."""
    *hidden, (weight, bias) = own
    for each, shift in hidden:
        rows = jnp.tanh(rows @ each + shift)
    return rows @ weight + bias


def log_prob_of(logits: Array, actions: Array) -> Array:
    """Of the actions taken."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], -1)[..., 0]


def fresh(key: Array) -> Training:
    """A run before its first update."""
    key, policy, critic, first = jax.random.split(key, 4)
    params = {"policy": layers(policy, ACTIONS, 0.01), "critic": layers(critic, 1, 1.0)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    envs = Envs(begun(first), jnp.zeros(NUM_ENVS, jnp.int32))
    return Training(params, Adam(zeros, zeros, jnp.zeros(())), envs, key, jnp.zeros(()), jnp.zeros(()))


def collected(training: Training) -> tuple[Training, Samples]:
    """A rollout of T steps [T, N, ...]."""

    def one(carried: tuple[Envs, Array], _: None) -> tuple[tuple[Envs, Array], tuple[Samples, Array]]:
        envs, key = carried
        key, acting, starting = jax.random.split(key, 3)
        logits = network(training.params["policy"], envs.state)
        actions = jax.random.categorical(acting, logits)
        following, moved, fallen, ended = step(envs, actions, starting)
        log_probs = log_prob_of(logits, actions)
        found = Samples(envs.state, moved, actions, log_probs, fallen, ended)
        return (following, key), (found, jnp.where(ended, envs.lengths + 1, 0))

    (envs, key), (samples, returns) = jax.lax.scan(one, (training.envs, training.key), None, STEPS)
    count, before = samples.ended.sum(), training.mean_return
    mean_return = jnp.where(count == 0, before, 0.9 * before + 0.1 * returns.sum() / jnp.maximum(count, 1))
    best = jnp.maximum(training.best, mean_return)
    return training._replace(envs=envs, key=key, mean_return=mean_return, best=best), samples


def estimated(params: Params, samples: Samples) -> tuple[Array, Array]:
    """GAE(lambda) (Schulman et al. 2016) and value targets, [T, N]; every reward is 1."""
    values, following = (
        network(params["critic"], rows)[..., 0] for rows in (samples.observations, samples.successors)
    )
    deltas = 1.0 + GAMMA * following * (1.0 - samples.fallen) - values

    def one(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, ended = step
        advantage = delta + GAMMA * TRACE_DECAY * (1.0 - ended) * advantage
        return advantage, advantage

    advantages = jax.lax.scan(one, jnp.zeros(NUM_ENVS), (deltas, samples.ended), reverse=True)[1]
    return advantages, advantages + values


def loss(params: Params, samples: Samples, advantages: Array, targets: Array) -> Array:
    """PPO's clipped surrogate, negated, and the squared error of V, weighted."""
    logits = network(params["policy"], samples.observations)
    ratios = jnp.exp(log_prob_of(logits, samples.actions) - samples.log_probs)
    whitened = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    surrogate = jnp.minimum(ratios * whitened, jnp.clip(ratios, 1 - CLIP, 1 + CLIP) * whitened)
    values = network(params["critic"], samples.observations)[:, 0]
    return -surrogate.mean() + VALUE_COEF * ((values - targets) ** 2).mean()


def stepped(params: Params, adam: Adam, gradient: Params, rate: Array) -> tuple[Params, Adam]:
    """One step of Adam (Kingma and Ba 2015) along a gradient of bounded norm."""
    norm = jnp.sqrt(sum(jnp.sum(each**2) for each in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda each: each * jnp.minimum(1.0, MAX_NORM / (norm + 1e-6)), gradient)
    steps = adam.steps + 1
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, adam.first, gradient)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g**2, adam.second, gradient)
    lengths = rate / (1 - BETA1**steps), 1 - BETA2**steps
    params = jax.tree.map(
        lambda p, m, v: p - lengths[0] * m / (jnp.sqrt(v / lengths[1]) + EPSILON), params, first, second
    )
    return params, Adam(first, second, steps)


def updated(training: Training, rate: Array) -> Training:
    """One update: a rollout, advantages, E epochs of M minibatches."""
    training, samples = collected(training)
    data = samples, *estimated(training.params, samples)
    batch = jax.tree.map(lambda each: each.reshape(BATCH, *each.shape[2:]), data)

    def minibatch(carried: tuple[Params, Adam], part: Any) -> tuple[tuple[Params, Adam], None]:
        params, adam = carried
        return stepped(params, adam, jax.grad(loss)(params, *part), rate), None

    def epoch(carried: tuple[Params, Adam], key: Array) -> tuple[tuple[Params, Adam], None]:
        order = jax.random.permutation(key, BATCH)
        parts = jax.tree.map(lambda each: each[order].reshape(MINIBATCHES, -1, *each.shape[1:]), batch)
        return jax.lax.scan(minibatch, carried, parts)

    key, *keys = jax.random.split(training.key, 1 + EPOCHS)
    (params, adam), _ = jax.lax.scan(epoch, (training.params, training.adam), jnp.stack(keys))
    return training._replace(params=params, adam=adam, key=key)


def trained(key: Array, updates: Array) -> Array:
    """A whole run, its learning rate annealed to 0; the mean return of its last episodes, and the highest."""

    def one(number: Array, training: Training) -> Training:
        return updated(training, LEARNING_RATE * (1.0 - number / updates))

    last = jax.lax.fori_loop(0, updates, one, fresh(key))
    return jnp.stack((last.mean_return, last.best))


def main() -> None:
    """Print the seconds of so many updates, compiled before."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument(
        "--seeds", type=int, default=1, help="runs side by side, by vmap where there are several"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--return", dest="returns", action="store_true", help="print mean returns too")
    options = parser.parse_args()
    keys = jax.random.split(jax.random.key(options.seed), options.seeds)
    alone = options.seeds == 1
    run = jax.jit(trained if alone else jax.vmap(trained, in_axes=(0, None)))
    run(keys[0] if alone else keys, jnp.int32(1)).block_until_ready()
    begin = time.perf_counter()
    found = run(keys[0] if alone else keys, jnp.int32(options.updates)).block_until_ready()
    print(time.perf_counter() - begin, *(found.reshape(-1, 2).mean(0).tolist() if options.returns else []))


if __name__ == "__main__":
    main()
