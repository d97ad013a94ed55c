"""The whole policy of one run as a module: encoding, network, masks, actions.

Shapes: B observations, K choices of a mask, M numbers of recurrent state.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rlcli.envs.spec import EnvSpec
from rlcli.nets.masked import FLOOR
from rlcli.nets.policy import Model, Snapshot
from rlcli.standalone.actions import acting
from rlcli.standalone.inputs import NEXT_STATE, Encoding, Input, inputs_of
from rlcli.standalone.networks import plain


class PolicyModule(nn.Module):
    """A trained policy: observations as the environment gives them in, the most probable actions out.

    It is called with the tensors of `inputs`, each with B as its first axis, and gives those of `outputs`:

    - `action` [B, ...] in the environment's format and type;
    - `logits`, or `mean` and `log_std` of the Gaussian before it is clipped or squashed: from them a
      stochastic policy samples. Logits of choices that a mask does not allow are -2^100;
    - `value` [B], the critic's; of a critic of action values their mean under the policy;
    - `next_state` [B, M] of a policy with memory, the `state` of the next step; zeros begin an episode.
    """

    def __init__(self, model: Model, snapshot: Snapshot, spec: EnvSpec) -> None:
        super().__init__()
        network = model.network
        self.inputs: tuple[Input, ...] = inputs_of(spec.observation, network.memory_width)
        self._members = len(spec.observation.leaves)
        self._of_actions = model.critic.reads_policy
        self._masked, self._memory = spec.observation.mask is not None, bool(network.memory_width)
        with torch.inference_mode(False), torch.no_grad():
            parameters = snapshot.parameters[0].clone()
            self.encoding = Encoding(spec.observation, network.encoder, snapshot.moments)
            self.network, free = plain(network, parameters)
            self.acting = acting(spec.action, model.family, free)
        state = (NEXT_STATE,) if self._memory else ()
        self.outputs: tuple[str, ...] = ("action", *self.acting.names, "value", *state)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        encoded = self.encoding(*inputs[: self._members])
        outputs, value, state = self.network(encoded, inputs[-1] if self._memory else None)
        if self._masked:
            outputs = torch.where(inputs[self._members] != 0, outputs, FLOOR)
        if self._of_actions:
            value = (torch.softmax(outputs, -1) * value.view(outputs.shape)).sum(-1)
        found = (*self.acting(outputs), value)
        return found if state is None else (*found, state)

    def act(self, **inputs: Any) -> dict[str, Tensor]:
        """Outputs by name of inputs by name: arrays or tensors with B as their first axis."""
        missing = [one.name for one in self.inputs if one.name not in inputs]
        if missing or len(inputs) != len(self.inputs):
            raise TypeError(
                f"inputs are {', '.join(one.name for one in self.inputs)}; got {', '.join(inputs)}"
            )
        tensors = [torch.as_tensor(inputs[one.name]).to(one.dtype) for one in self.inputs]
        with torch.no_grad():
            return dict(zip(self.outputs, self(*tensors), strict=True))


def policy_module(model: Model, snapshot: Snapshot, spec: EnvSpec) -> PolicyModule:
    """The policy of one run (R = 1) as a module in evaluation mode, on the CPU.

    Raises:
        UserError: a network of the user's own cannot be made.
    """
    return PolicyModule(model, snapshot, spec).eval().requires_grad_(False)
