"""Table of all rules, in the order of their messages."""

from __future__ import annotations

from rlcli.config.faults import Check
from rlcli.config.rules.collection import actors_fit
from rlcli.config.rules.corrections import action_values_fit, reuse_fits, vtrace_fits, weights_fit
from rlcli.config.rules.effect import activation_has_effect, keys_have_effect
from rlcli.config.rules.minibatches import auxiliary_minibatches_divide, minibatches_divide, sequences_divide
from rlcli.config.rules.networks import log_std_fits, memory_fits
from rlcli.config.rules.runs import name_is_a_folder, schedules_follow_each_other
from rlcli.config.rules.steps import (
    adaptive_penalty_fits,
    adaptive_rate_fits,
    clip_ends_fit,
    mask_fits,
    natural_step_fits,
)

RULES: tuple[Check, ...] = (
    minibatches_divide,
    sequences_divide,
    memory_fits,
    auxiliary_minibatches_divide,
    keys_have_effect,
    activation_has_effect,
    natural_step_fits,
    adaptive_penalty_fits,
    clip_ends_fit,
    mask_fits,
    adaptive_rate_fits,
    vtrace_fits,
    action_values_fit,
    weights_fit,
    reuse_fits,
    log_std_fits,
    actors_fit,
    name_is_a_folder,
    schedules_follow_each_other,
)
