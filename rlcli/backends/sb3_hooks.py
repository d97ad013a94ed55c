"""Hooks into SB3's `train`: gradient norms before clipping, and the end of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor


class GradientNorms:
    """The joint norm of every gradient that reaches the optimiser, before SB3 scales it down."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.norms: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]
            for parameter in policy.parameters()
        ]
        self._hooks.append(policy.optimizer.register_step_pre_hook(self._stepping))

    def close(self) -> None:
        """Stops watching."""
        for hook in self._hooks:
            hook.remove()

    def _arrived(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self._squares.append((parameter.grad * parameter.grad).sum())

    def _stepping(self, *_: object) -> None:
        self.norms.append(torch.stack(self._squares).sum().sqrt().cpu())
        self._squares.clear()


class EpochBuffer(RolloutBuffer):
    """SB3's rollout buffer with a callback at the end of each epoch."""

    begun = 0
    """Epochs of the update at hand."""
    _over = 0
    _after: Callable[[], None]
    _whole_only = False

    def listen(self, after_epoch: Callable[[], None], *, whole_only: bool) -> None:
        """Calls `after_epoch` whenever an epoch is over; `whole_only`: passes in minibatches are none.

        TRPO's policy steps on the whole batch, and only its value function on minibatches.
        """
        self.begun = self._over = 0
        self._after, self._whole_only = after_epoch, whole_only

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """The samples in a random order, minibatch by minibatch."""
        counts = batch_size is None or not self._whole_only
        self.begun += counts
        yield from super().get(batch_size)
        if counts:
            self._ended()

    def finish(self) -> None:
        """An epoch that was stopped early is over too."""
        if self._over < self.begun:
            self._ended()

    def _ended(self) -> None:
        self._over += 1
        self._after()
