"""The spaces that the factory of a user's network is called with, and observations by them.

Shapes: B observations, O numbers of one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlcli.envs.spec import ActionSpec, ObservationSpec
from rlcli.nets.pixels import floats


def observation_space(observation: ObservationSpec) -> spaces.Space[Any]:
    """Observations as the encoder gives them: a Box [O], choices as one-hot vectors.

    With images: the image's Box, uint8; or a Tuple of all images, in their order, and of a Box of all other
    numbers, if there are any.
    """
    images = [spaces.Box(0, 255, image.shape, np.uint8) for image in observation.images]
    count = len(observation.measured) if images else observation.width
    numbers = spaces.Box(-np.inf, np.inf, (count,), np.float32)
    if not images:
        return numbers
    return images[0] if len(images) == 1 and not count else spaces.Tuple(images + [numbers] * (count > 0))


def take_apart(observations: Tensor, observation_space: spaces.Space[Any]) -> list[Tensor]:
    """What a network of your own is called with, [B, ...], as one tensor [B, *shape] for each space.

    `observation_space` is the one that its factory got. Images are uint8, a view; numbers are float32.
    """
    parts = observation_space.spaces if isinstance(observation_space, spaces.Tuple) else [observation_space]
    shapes = [tuple(part.shape or ()) for part in parts]
    counts = [math.prod(shape) for shape in shapes]
    if observations.dtype == torch.uint8:
        counts = [count * np.dtype(part.dtype).itemsize for count, part in zip(counts, parts, strict=True)]
    found = []
    for rows, part, shape in zip(torch.split(observations, counts, -1), parts, shapes, strict=True):
        if part.dtype == np.uint8:
            values = rows.to(torch.uint8)  # exports have numbers and pixels in one row of float32
        else:
            values = floats(rows) if rows.dtype == torch.uint8 else rows
        found.append(values.view(rows.shape[0], *shape))  # not len, which an export would keep for ever
    return found


def action_space(action: ActionSpec) -> spaces.Space[Any]:
    """As the environment takes actions."""
    if action.kind == "discrete":
        return spaces.Discrete(action.width, start=int(action.start))
    if action.kind == "multidiscrete":
        return spaces.MultiDiscrete(np.array(action.sizes).reshape(action.shape))
    if action.kind == "multibinary":
        return spaces.MultiBinary(action.shape)
    low, high = (np.broadcast_to(np.asarray(end), action.shape) for end in (action.low, action.high))
    return spaces.Box(low, high, action.shape, action.dtype.type)
