"""Ways to get the numbers wrong, each with the test that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One replacement in one source file."""

    name: str
    file: str
    """Below rlcli/."""
    text: str
    """Occurs there exactly once."""
    replacement: str
    test: str
    """The node id, below tests/, of a test that passes before and fails after."""


MUTATIONS = (
    # Distributions and health
    Mutation(
        "the KL of two categoricals swapped",
        "maths/distributions.py",
        "return (self.probs * (self.log_probs - other.log_probs)).sum(-1)",
        "return (other.probs * (other.log_probs - self.log_probs)).sum(-1)",
        "maths/test_distributions.py::test_categorical_agrees_with_torch",
    ),
    Mutation(
        "the KL of two Gaussians swapped",
        "maths/distributions.py",
        "log_ratio = self.log_std - other.log_std",
        "self, other = other, self\n        log_ratio = self.log_std - other.log_std",
        "maths/test_distributions.py::test_known_divergences_of_gaussians",
    ),
    Mutation(
        "the two KL figures swapped",
        "maths/health.py",
        "forward, backward = nonnegative(reference.kl(policy)), nonnegative(policy.kl(reference))",
        "backward, forward = nonnegative(reference.kl(policy)), nonnegative(policy.kl(reference))",
        "maths/test_health.py::test_figures_by_hand",
    ),
    Mutation(
        "the log deviation's gradient dropped",
        "maths/distributions.py",
        "for_free = (taken * (z * z - 1.0)).sum(1, keepdim=True)",
        "for_free = (0.0 * taken * z).sum(1, keepdim=True)",
        "maths/test_distributions.py::test_pullback_is_the_gradient",
    ),
    Mutation(
        "effective sample size without N",
        "maths/health.py",
        "share = total * total / (log_ratio.shape[-1] * (ratio * ratio).sum(-1))",
        "share = total * total / (ratio * ratio).sum(-1)",
        "maths/test_health.py::test_one_dominating_sample_leaves_one_nth",
    ),
    # Estimators
    Mutation(
        "truncation merged into termination",
        "maths/estimators.py",
        "deltas = td_errors(rewards, values, next_values, terminated, gamma)\n    decays",
        "deltas = td_errors(rewards, values, next_values, terminated | truncated, gamma)\n    decays",
        "maths/test_estimators.py::test_a_truncation_bootstraps_and_a_termination_does_not",
    ),
    Mutation(
        "a truncated episode leaks into the next",
        "maths/estimators.py",
        "decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)",
        "decays = torch.where(terminated, 0.0, gamma * trace_decay)",
        "maths/test_estimators.py::test_gae_is_the_double_sum",
    ),
    Mutation(
        "the trace decay dropped",
        "maths/estimators.py",
        "decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)",
        "decays = torch.where(terminated | truncated, 0.0, gamma + 0.0 * trace_decay)",
        "maths/test_estimators.py::test_gae_is_the_double_sum",
    ),
    Mutation(
        "whitening by the sample deviation",
        "maths/estimators.py",
        "deviation = (centred * centred).mean(-1, keepdim=True).sqrt()",
        "deviation = ((centred * centred).sum(-1, keepdim=True) / (centred.shape[-1] - 1)).sqrt()",
        "maths/test_estimators.py::test_whiten_divides_by_the_population_deviation",
    ),
    Mutation(
        "whitening over all runs",
        "maths/estimators.py",
        "centred = advantages - advantages.mean(-1, keepdim=True)",
        "centred = advantages - advantages.mean()",
        "maths/test_estimators.py::test_whiten_keeps_rows_apart",
    ),
    Mutation(
        "the reward accumulator not reset",
        "maths/estimators.py",
        "carried = torch.where(end, 0.0, total)",
        "carried = total",
        "maths/test_estimators.py::test_discounted_returns_start_again_after_both_kinds_of_end",
    ),
    Mutation(
        "the reward accumulator not reset at a truncation",
        "learner/batch.py",
        "ended = rollout.terminated | rollout.truncated",
        "ended = rollout.terminated",
        "learner/test_rewards.py::test_returns_are_accumulated_within_episodes_over_rollouts",
    ),
    Mutation(
        "n-step returns of one step less",
        "maths/estimators.py",
        "for _ in range(min(n, len(rewards)) - 1):",
        "for _ in range(min(n, len(rewards)) - 2):",
        "learner/test_update.py::test_updates_come_to_where_the_slow_learner_comes",
    ),
    Mutation(
        "n-step returns across ends",
        "maths/estimators.py",
        "following = torch.where(ended, bootstrap[:-1], returns[1:])",
        "following = torch.where(ended & False, bootstrap[:-1], returns[1:])",
        "maths/test_returns.py::test_nstep_is_its_sum",
    ),
    # Losses
    Mutation(
        "the clip dropped",
        "maths/surrogates.py",
        "torch.where(weighted >= limit, 0.0, weighted)",
        "weighted",
        "maths/test_surrogates.py::test_the_clipped_objective_case_by_case",
    ),
    Mutation(
        "the clip's edge open",
        "maths/surrogates.py",
        "torch.where(weighted >= limit, 0.0, weighted)",
        "torch.where(weighted > limit, 0.0, weighted)",
        "maths/test_surrogates.py::test_the_clipped_objective_case_by_case",
    ),
    Mutation(
        "the value slope's sign flipped",
        "maths/surrogates.py",
        "return Loss(error * error, 2.0 * error)",
        "return Loss(error * error, -2.0 * error)",
        "maths/test_surrogates.py::test_value_losses_have_the_slopes_of_their_gradients",
    ),
    Mutation(
        "the entropy's sign flipped",
        "learner/sgd.py",
        "by_entropy = (self._hyper.entropy_coef * -scale).expand_as(by_log_prob)",
        "by_entropy = (self._hyper.entropy_coef * scale).expand_as(by_log_prob)",
        "learner/test_update.py::test_updates_come_to_where_the_slow_learner_comes",
    ),
    Mutation(
        "mirror descent by the other KL",
        "learner/sgd.py",
        "return policy.kl(anchor), *policy.pullback_kl_to(anchor, by_kl)",
        "return policy.kl(anchor), *policy.pullback_kl_from(anchor, by_kl)",
        "learner/test_update.py::test_updates_come_to_where_the_slow_learner_comes[the second step of mdpo]",
    ),
    Mutation(
        "the two penalties swapped",
        "learner/sgd.py",
        'if self._algo.penalty == "kl_anchor_pi":',
        'if self._algo.penalty != "kl_anchor_pi":',
        "learner/test_update.py::test_updates_come_to_where_the_slow_learner_comes[the second step of mdpo]",
    ),
    Mutation(
        "an adaptive penalty doubled where it should be halved",
        "learner/update.py",
        "return torch.where(kl > ADAPTIVE_BAND * target, coefficient * 2.0, lowered)",
        "return torch.where(kl < ADAPTIVE_BAND * target, coefficient * 2.0, lowered)",
        "learner/test_penalties.py::test_an_adaptive_penalty_doubles_or_halves_for_the_next_update",
    ),
    Mutation(
        "an annealed penalty one update ahead",
        "learner/hyperparameters.py",
        "return 1.0 / (1.0 - min(done, updates - 1) / updates)",
        "return 1.0 / (1.0 - min(done + 1, updates - 1) / updates)",
        "learner/test_hyperparameters.py::test_the_penalty_rises_or_falls_with_the_update",
    ),
    # Steps
    Mutation(
        "RMSProp's epsilon outside the root",
        "learner/optimisers.py",
        "divisor = (second + self._hyper.rmsprop_eps).sqrt_()",
        "divisor = second.sqrt() + self._hyper.rmsprop_eps",
        "learner/test_optimisers.py::test_gradients_much_smaller_than_epsilon_show_where_it_stands",
    ),
    Mutation(
        "RMSProp's mean square from 0",
        "learner/optimisers.py",
        '"rmsprop": 1.0',
        '"rmsprop": 0.0',
        "learner/test_optimisers.py::test_a_hundred_steps_end_where_others_end",
    ),
    Mutation(
        "a line search that forgets the KL",
        "maths/natural.py",
        "good = (distance <= limit) & (better > 0.0)",
        "good = (better > 0.0)",
        "learner/test_natural.py::test_no_update_leaves_the_trust_region",
    ),
    Mutation(
        "a line search that forgets the gain",
        "maths/natural.py",
        "good = (distance <= limit) & (better > 0.0)",
        "good = (distance <= limit)",
        "learner/test_natural.py::test_a_step_too_small_for_its_numbers_is_not_taken",
    ),
    Mutation(
        "a natural step downhill",
        "maths/natural.py",
        "scaled = (2.0 * delta.double() / curvature).sqrt() * direction",
        "scaled = -(2.0 * delta.double() / curvature).sqrt() * direction",
        "learner/test_natural.py::test_without_line_search_the_full_step_is_taken",
    ),
    Mutation(
        "conjugate gradients that end with their first run",
        "maths/natural.py",
        "if not active.any():",
        "if not active.all():",
        "maths/test_natural.py::test_a_run_stops_at_its_own_tolerance_and_stays_there",
    ),
    Mutation(
        "passes along a prepared tape without the activations' derivatives",
        "nets/mlp.py",
        "return slope.mul_(layer.slope)",
        "return slope",
        "maths/test_natural.py::test_fisher_product_is_the_explicit_matrix",
    ),
    Mutation(
        "value epochs that move the policy",
        "learner/critic.py",
        "network, columns = whole.critic, whole.critic_columns",
        "network, columns = whole.actor, whole.actor_columns",
        "learner/test_natural.py::test_gradient_steps_move_the_value_function_alone",
    ),
    Mutation(
        "V-trace to the behaviour policy's own ratio",
        "learner/batch.py",
        "self._by_time(log_prob - self._log_acting),",
        "self._by_time(self._log_acting - log_prob),",
        "learner/test_estimates.py::test_vtrace_corrects_for_the_policy_that_acted",
    ),
    Mutation(
        "Adam without bias correction",
        "learner/optimisers.py",
        "rates = hyper.learning_rate.double() / (1.0 - hyper.adam_beta1.double() ** counts)",
        "rates = hyper.learning_rate.double() + 0.0 * counts",
        "learner/test_optimisers.py::test_the_first_steps",
    ),
    Mutation(
        "a frozen run moves on",
        "learner/optimisers.py",
        "move = torch.where(mask, move, 0.0)",
        "move = 1.0 * move",
        "learner/test_optimisers.py::test_a_frozen_run_keeps_what_it_had_and_goes_on_as_if_it_had_stopped",
    ),
    Mutation(
        "gradients not clipped",
        "learner/optimisers.py",
        "return gradients * scale, norms.squeeze(-1)",
        "return gradients, norms.squeeze(-1)",
        "learner/test_optimisers.py::test_clip_by_norm",
    ),
    Mutation(
        "one gradient norm for the whole cohort",
        "learner/optimisers.py",
        "norms = (gradients * gradients).sum(-1, keepdim=True).sqrt_()",
        "norms = (gradients * gradients).sum().sqrt_().expand(len(gradients), 1)",
        "backends/test_cohort.py::test_three_runs_together_are_the_three_alone",
    ),
    Mutation(
        "the schedule reversed",
        "learner/hyperparameters.py",
        "return max(0.0, 1.0 - update * config.batch_size / horizon)",
        "return min(1.0, update * config.batch_size / horizon)",
        "learner/test_hyperparameters.py::test_a_linear_schedule_falls_from_its_value_by_equal_steps",
    ),
    Mutation(
        "one order of the batch for all epochs",
        "learner/sgd.py",
        "generator(seed, stream, update, epoch)",
        "generator(seed, stream, update)",
        "learner/test_update.py::test_every_epoch_has_its_own_order_of_the_batch",
    ),
    Mutation(
        "early stopping asked of the first run only",
        "learner/hyperparameters.py",
        "return any(config.algo.target_kl is not None for config in configs)",
        "return configs[0].algo.target_kl is not None",
        "learner/test_target_kl.py::test_each_run_of_a_cohort_stops_as_it_would_alone",
    ),
    # Phases
    Mutation(
        "the clone term by the other KL",
        "learner/phasic.py",
        "policy.pullback_kl_from(before, by_kl)",
        "policy.pullback_kl_to(before, by_kl)",
        "learner/test_phasic.py::test_phases_come_to_where_the_slow_learner_comes",
    ),
    Mutation(
        "cloning the policy of the moment",
        "learner/phasic.py",
        "return distribution(outputs, heads.free), distribution(samples.outputs, self._free), auxiliary",
        "return distribution(outputs, heads.free), distribution(outputs, heads.free), auxiliary",
        "learner/test_phasic.py::test_the_clone_term_holds_the_policy",
    ),
    Mutation(
        "the auxiliary phase one update late",
        "learner/phasic.py",
        "turns = [(done + 1) % every == 0 for done in step.memory.updates]",
        "turns = [done > 0 and done % every == 0 for done in step.memory.updates]",
        "learner/test_phasic.py::test_the_auxiliary_phase_comes_after_every_nth_update",
    ),
    Mutation(
        "values in the shared trunk in the policy phase",
        "learner/phasic.py",
        "hyper=hyper._replace(value_coef=torch.zeros_like(hyper.value_coef)),",
        "hyper=hyper,",
        "learner/test_phasic.py::test_each_phase_moves_its_own_alone",
    ),
    Mutation(
        "values in the shared trunk in the value epochs",
        "learner/phasic.py",
        "        return network.heads, network.head_columns\n",
        "        return network.critic, network.critic_columns\n",
        "learner/test_phasic.py::test_each_phase_moves_its_own_alone",
    ),
    Mutation(
        "one optimiser for the policy and the value function",
        "learner/phasic.py",
        "optimiser=step.memory.phases.value,",
        "optimiser=step.optimiser,",
        "learner/test_phasic.py::test_phases_come_to_where_the_slow_learner_comes[two trunks]",
    ),
    Mutation(
        "no value taught to the policy's trunk",
        "learner/phasic.py",
        "by_auxiliary = (auxiliary - samples.targets) * scale",
        "by_auxiliary = 0.0 * (auxiliary - samples.targets) * scale",
        "learner/test_phasic.py::test_phases_come_to_where_the_slow_learner_comes[two trunks]",
    ),
    Mutation(
        "an auxiliary phase for runs whose turn it is not",
        "learner/phasic.py",
        "rule.step(gradients, due)",
        "rule.step(gradients)",
        "learner/test_phasic.py::test_members_at_different_updates_have_their_phases_when_they_would_alone",
    ),
    Mutation(
        "health before the auxiliary phase",
        "learner/phasic.py",
        "unseen=any(turns),",
        "unseen=False,",
        "learner/test_phasic.py::test_health_is_that_of_the_policy_after_the_auxiliary_phase",
    ),
    # What acted, and what is taken for it
    Mutation(
        "the normaliser advanced before the update",
        "learner/update.py",
        "    inputs = model.encode(state.policy, observations)\n",
        "    moved = advanced_statistics(config, hyper, model, state, rollout)[0]\n"
        "    state = state._replace(policy=Snapshot(state.policy.parameters, moved))\n"
        "    inputs = model.encode(state.policy, observations)\n",
        "learner/test_assertions.py::test_they_hold_on_an_ordinary_update",
    ),
    Mutation(
        "the acting assertion blind",
        "learner/update.py",
        "ACTING_TOLERANCE = 1e-4",
        "ACTING_TOLERANCE = 1e4",
        "learner/test_assertions.py::test_a_normaliser_moved_after_acting_is_found",
    ),
    Mutation(
        "today's statistics under yesterday's policy",
        "learner/state.py",
        "    return oldest\n",
        "    return oldest._replace(moments=state.policy.moments)\n",
        "learner/test_lag.py::test_the_policy_of_update_u_minus_lag_acts_with_its_statistics",
    ),
    Mutation(
        "importance weights without their cap",
        "learner/batch.py",
        "return torch.where(correction > hyper.weight_bar, hyper.weight_bar, correction)",
        "return correction",
        "learner/test_lag.py::test_each_sample_weighs_as_much_as_the_anchor_would_have_it_but_at_most_the_cap",
    ),
    Mutation(
        "noise shared between runs",
        "collect/rollout.py",
        'generator(seed, "action", update)',
        'generator(self.seeds[0], "action", update)',
        "collect/test_rollout.py::test_actions_are_those_the_noise_of_the_run_and_update_selects",
    ),
    Mutation(
        "the value of the reset observation at an end",
        "collect/rollout.py",
        "        record.steps.append(step)\n"
        "        self._observations = self._advance(record.ongoing, step)\n",
        "        self._observations = self._advance(record.ongoing, step)\n"
        "        record.steps.append(step._replace(observations=self._observations))\n",
        "collect/test_rollout.py::test_the_successor_at_an_end_is_the_final_observation",
    ),
    Mutation(
        "episode seeds without the environment's index",
        "collect/state.py",
        'return environment_seed(seed, "episode", environment, episode)',
        'return environment_seed(seed, "episode", episode)',
        "collect/test_rollout.py::test_environments_runs_and_episodes_all_begin_differently",
    ),
    Mutation(
        "evaluation seeds by environment rather than episode",
        "collect/evaluation.py",
        'environment_seed(seed, "evaluation", j) for j in range(episodes)',
        'environment_seed(seed, "evaluation", j % count) for j in range(episodes)',
        "collect/test_evaluation.py::test_every_episode_is_played_to_its_end_and_counted_once",
    ),
    Mutation(
        "a failed run keeps what the failed update left",
        "backends/native.py",
        "good[r] = False",
        "good[r] = True",
        "backends/test_failures.py::test_a_failing_environment_fails_its_run_only",
    ),
    Mutation(
        "an activation that rounds by position",
        "nets/activations.py",
        "return x * _sigmoid(x)",
        "return torch.nn.functional.silu(x)",
        "nets/test_stacking.py::test_activations_round_an_element_the_same_wherever_it_stands",
    ),
    # Array environments
    Mutation(
        "a quotient of the cart-pole's as a product",
        "envs/array/cartpole.py",
        "np.divide(push, TOTAL_MASS, push)",
        "np.multiply(push, 1.0 / TOTAL_MASS, push)",
        "envs/test_array.py::test_the_same_over_runs_and_many_environments[CartPole-v1-3-4-400]",
    ),
    Mutation(
        "the acrobot's squares as products",
        "envs/array/acrobot.py",
        "np.float_power(squares, TWO, squares)",
        "np.multiply(squares, squares, squares)",
        "envs/test_array.py::test_the_same_over_runs_and_many_environments[Acrobot-v1-3-4-400]",
    ),
    Mutation(
        "a wall that lets the mountain car's speed be",
        "envs/array/mountain_car.py",
        "np.equal(position, LEAST)",
        "np.less(position, LEAST)",
        "envs/test_array.py::test_mountain_cars_meet_the_wall_and_both_speed_limits",
    ),
    Mutation(
        "the continuous mountain car's first step in float32",
        "envs/array/mountain_car_continuous.py",
        "3 * drawn))",
        "(3 * drawn).astype(np.float32)))",
        "envs/test_array.py::test_the_same_over_runs_and_many_environments[MountainCarContinuous-v0-3-4-400]",
    ),
    Mutation(
        "the pendulum's torque squared as a product",
        "envs/array/pendulum.py",
        "_power_of_two(torque) * TORQUE_COST",
        "np.square(torque) * TORQUE_COST",
        "envs/test_array.py::test_the_same_over_runs_and_many_environments[Pendulum-v1-3-4-400]",
    ),
    Mutation(
        "the length of an episode carried into the next",
        "envs/array/base.py",
        "self._elapsed.reshape(-1)[where] = 0",
        "self._elapsed.reshape(-1)[where] -= 0",
        "envs/test_array.py::test_the_same_over_runs_and_many_environments[Pendulum-v1-2-25-250]",
    ),
    Mutation(
        "a torque that is no number goes unnoticed",
        "envs/array/base.py",
        'self._may_fail = spec.action.kind == "box"',
        'self._may_fail = spec.action.kind == "discrete"',
        "envs/test_failures.py::test_an_action_that_is_no_number_fails_one_run_alike_in_both_backends",
    ),
    Mutation(
        "a draw's sum of halves without its carry",
        "envs/array/draws.py",
        " + (total < low[0])",
        "",
        "envs/test_draws.py::test_uniform_draws_are_those_of_numpys_generators",
    ),
    Mutation(
        "a sign in the torch acrobot's equations",
        "envs/torch/classic.py",
        "- (0.5 * speed2 + speed1) * speed2 * sine",
        "- (0.5 * speed2 - speed1) * speed2 * sine",
        "envs/test_torch.py::test_torch_environments_keep_within_the_tolerance",
    ),
    Mutation(
        "the torch pendulum's speed from before its step",
        "envs/torch/classic.py",
        "angle = angle + 0.05 * speed\n",
        "angle = angle + 0.05 * state[2]\n",
        "envs/test_torch.py::test_torch_environments_keep_within_the_tolerance",
    ),
    Mutation(
        "seeds on the device of episodes that are over",
        "collect/device.py",
        "                ongoing.end(ended)\n"
        "                env.begin(self._starts(ongoing, ended), ended)\n",
        "                env.begin(self._starts(ongoing, ended), ended)\n"
        "                ongoing.end(ended)\n",
        "collect/test_device.py::test_rollouts_are_those_of_the_host_within_the_tolerance",
    ),
    # Importance weighting
    Mutation(
        "importance weights against the policy before the update",
        "learner/update.py",
        "Weighting(config, hyper, seen, batch.advantages, acting.log_prob, rollout.counted)",
        "Weighting(config, hyper, seen, batch.advantages, initial.log_prob, rollout.counted)",
        "learner/test_weighting.py::test_a_step_is_the_estimated_gradient",
    ),
    Mutation(
        "importance weights of the update's start in every epoch",
        "learner/sgd.py",
        "minibatch.advantages if self._weighting is None else self._weighting(log_prob)",
        "minibatch.advantages if self._weighting is None else "
        'vars(self).setdefault("_first", self._weighting(log_prob))',
        "learner/test_weighting.py::test_weights_are_taken_anew_before_each_epoch",
    ),
    Mutation(
        "a baseline that is asked to be left out",
        "learner/weighting.py",
        'if algo.baseline == "value" else None',
        'if algo.baseline != "" else None',
        "learner/test_weighting.py::test_a_step_is_the_estimated_gradient",
    ),
    Mutation(
        "episodes that end in time preferred to those that had the time",
        "maths/importance.py",
        "begun <= len(ended) - longest",
        "_spread(clock.expand_as(last), last) < len(ended) - 1",
        "learner/test_weighting.py::test_whole_episodes_begin_with_the_rollout_and_end_in_it",
    ),
    Mutation(
        "what does not count is weighed all the same",
        "maths/importance.py",
        "torch.where(parts.counted, discounts * coefficients if discount_states else coefficients, 0.0)",
        "discounts * coefficients if discount_states else coefficients",
        "learner/test_weighting.py::test_what_does_not_count_moves_nothing",
    ),
    # What a run that goes on brings with it
    Mutation(
        "an RNG stream carried over from update to update",
        "collect/rollout.py",
        'generator(seed, "action", update)',
        'self.__dict__.setdefault(f"carried {seed}", generator(seed, "action"))',
        "runs/test_resume.py::test_everything_on_goes_on",
    ),
    Mutation(
        "a queue entry dropped on the way into a checkpoint",
        "backends/native.py",
        "    return states.with_leaves(states.take(blank, 0), trained), CollectorState(**fields)",
        "    kept = states.with_leaves(states.take(blank, 0), trained)\n"
        "    queue = states.map_leaves(lambda leaf: torch.cat((leaf[1:], leaf[-1:])), kept.queue)\n"
        "    return kept._replace(queue=queue), CollectorState(**fields)",
        "runs/test_resume.py::test_everything_on_goes_on",
    ),
    Mutation(
        "the optimiser's step count from 0",
        "backends/native.py",
        "    return states.with_leaves(states.take(blank, 0), trained), CollectorState(**fields)",
        "    kept = states.with_leaves(states.take(blank, 0), trained)\n"
        "    optimiser = kept.optimiser._replace(steps=torch.zeros(()))\n"
        "    return kept._replace(optimiser=optimiser), CollectorState(**fields)",
        "runs/test_resume.py::test_everything_on_goes_on",
    ),
    Mutation(
        "elapsed steps of a time limit forgotten",
        "collect/state.py",
        "    steps = max(len(state.history) for state in found)\n",
        "    steps = 0\n    found = [state._replace(observations=observations[0]) for state in found]\n"
        "    states = found\n",
        "runs/test_resume.py::test_the_time_limit_goes_on_counting",
    ),
    Mutation(
        "environments not held against what they showed",
        "collect/state.py",
        "    broken = ~lost & (ended | other)\n",
        "    broken = ~lost & ended\n",
        "collect/test_rollout.py::test_an_environment_that_shows_something_else_begins_its_next_episode",
    ),
    Mutation(
        "rows after the checkpoint kept",
        "runs/rows.py",
        "os.truncate(self._path, sum(map(len, self._kept)))",
        "os.truncate(self._path, self._path.stat().st_size)",
        "runs/test_resume.py::test_everything_on_goes_on",
    ),
    Mutation(
        "an evaluation cut short not made again",
        "runs/run.py",
        "owed=self._cut,",
        "owed=False,",
        "runs/test_resume.py::test_a_final_evaluation_that_was_cut_short_is_made_again",
    ),
    Mutation(
        "a final evaluation taken for one of the course",
        "runs/checkpoint.py",
        "on_schedule = best_return is not None and not final",
        "on_schedule = best_return is not None",
        "runs/test_checkpoints.py::test_saving_twice_writes_once_unless_there_is_news",
    ),
    Mutation(
        "a checkpoint's own checksum not looked at",
        "runs/packing.py",
        "hashlib.sha256(unsigned).hexdigest() != signed",
        "len(unsigned) != len(content)",
        "runs/test_checkpoints.py::test_a_flip_of_any_bit_is_found_without_an_index",
    ),
    Mutation(
        "a process taken for another of the same number",
        "runs/lock.py",
        "_exists(self.pid) and self.started == _started(self.pid)",
        "_exists(self.pid)",
        "runs/test_lock.py::test_a_number_that_was_given_again_is_no_holder",
    ),
)
