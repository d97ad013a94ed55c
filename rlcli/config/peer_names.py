"""Table of the names in Stable-Baselines3, CleanRL and RLlib, with the place that declares each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlcli.config import peer_values as to
from rlcli.config.peer import PeerName, as_it_is

SB3, CLEANRL, RLLIB = "Stable-Baselines3", "CleanRL", "RLlib"

_BATCH = "algo.rollout_steps x env.num_envs"
_SIZE = f"it is the size of a minibatch, algo.minibatches is their number; algo.minibatches = {_BATCH} / {{}}"
_TOTAL = "it counts the samples of an update; algo.rollout_steps = {} / env.num_envs"
_ENVS = "env.num_envs = {} x {}; with collect.mode=process they step in collect.actors processes"
_FRAGMENT = (
    "an update trains on one fragment of each environment, so there is no separate train_batch_size: it is "
    f"{_BATCH}"
)
_CALLS = "it counts calls of a vector environment's step; {} = {} x env.num_envs"
_HALF = "its value loss has a factor 1/2, which the one here has not; algo.value_coef = {} / 2"
_SWITCH = "{} = {} for true, {} for false"
_SHUFFLED = "every minibatch is drawn anew in each epoch"
_CUDA = "device=cuda where it is on; the default is the CPU, which is faster for small networks"
_ALWAYS = "runs repeat to the last bit on the CPU without a switch"
_LOGGERS = "loggers are a list: add {}, as in logger=[console,jsonl,{}]"


def _settings(library: str, source: str, *rows: tuple[Any, ...]) -> Iterator[PeerName]:
    """Entries of one source: rows of name, keys of rlcli with spaces between, note, conversion."""
    for name, ours, *rest in rows:
        note, convert = (*rest, "", None)[:2] if rest else ("", as_it_is if len(ours.split()) == 1 else None)
        yield PeerName(name, library, source, tuple(ours.split()), note, convert)


def _metrics(library: str, source: str, *rows: tuple[str, ...]) -> Iterator[PeerName]:
    for name, ours, *note in rows:
        yield PeerName(name, library, source, tuple(ours.split()), "".join(note), metric=True)


_OF_SB3 = (
    *_settings(
        SB3, "stable_baselines3.PPO",
        ("policy", "network", "network=mlp; sizes and activation are network.hidden and network.activation"),
        ("env", "env"),
        ("learning_rate", "algo.learning_rate"),
        ("n_steps", "algo.rollout_steps"),
        ("batch_size", "algo.minibatches", _SIZE.format("batch_size"), to.minibatches),
        ("n_epochs", "algo.epochs"),
        ("gamma", "algo.gamma"),
        ("gae_lambda", "algo.gae_lambda"),
        ("clip_range", "algo.clip"),
        ("clip_range_vf", "algo.value_clip",
         "the larger of the clipped and the plain loss counts here, the clipped one alone there", as_it_is),
        ("normalize_advantage", "algo.normalize_advantage",
         _SWITCH.format("algo.normalize_advantage", "minibatch", "none"),
         to.switch("algo.normalize_advantage", "minibatch", "none")),
        ("ent_coef", "algo.entropy_coef"),
        ("vf_coef", "algo.value_coef"),
        ("max_grad_norm", "algo.max_grad_norm"),
        ("use_sde", "", "exploration that depends on the state is not implemented"),
        ("sde_sample_freq", "", "exploration that depends on the state is not implemented"),
        ("rollout_buffer_class", "", "rollouts have one layout"),
        ("rollout_buffer_kwargs", "", "rollouts have one layout"),
        ("target_kl", "algo.target_kl"),
        ("stats_window_size", "", "train/return_100 is over 100 episodes"),
        ("tensorboard_log", "logger", _LOGGERS.format("tensorboard", "tensorboard"),
         to.always("logger=[console,jsonl,tensorboard]")),
        ("policy_kwargs", "network.hidden network.activation network.initialisation",
         "each entry is a key of the section network"),
        ("verbose", "logger", "logger=[jsonl] or --quiet is silent; console is in the default"),
        ("seed", "seed"),
        ("device", "device"),
        ("total_timesteps", "total_steps"),
        ("progress_bar", "logger", "on a terminal the logger console shows progress; --quiet hides it"),
    ),
    *_settings(
        SB3, "stable_baselines3.A2C",
        ("rms_prop_eps", "algo.rmsprop_eps"),
        ("use_rms_prop", "algo.optimiser", _SWITCH.format("algo.optimiser", "rmsprop", "adam"),
         to.switch("algo.optimiser", "rmsprop", "adam")),
    ),
    *_settings(
        SB3, "sb3_contrib.TRPO",
        ("target_kl", "algo.delta", "with algo=trpo it is the radius of the trust region", as_it_is),
        ("cg_max_steps", "algo.cg_iterations"),
        ("cg_damping", "algo.cg_damping"),
        ("line_search_shrinking_factor", "algo.line_search_shrink"),
        ("line_search_max_iter", "algo.line_search_steps"),
        ("n_critic_updates", "algo.epochs", "with algo=trpo, the epochs of the value function", as_it_is),
        ("sub_sampling_factor", "", "the natural gradient is computed on the whole batch"),
    ),
    *_settings(
        SB3, "stable_baselines3.common.policies.ActorCriticPolicy",
        ("net_arch", "network.hidden", "a list of sizes, the same for policy and value function", as_it_is),
        ("activation_fn", "network.activation", "a name: tanh, relu, elu, silu or gelu",
         to.lower("network.activation")),
        ("ortho_init", "network.initialisation",
         _SWITCH.format("network.initialisation", "orthogonal", "uniform"),
         to.switch("network.initialisation", "orthogonal", "uniform")),
        ("log_std_init", "network.log_std_init"),
        ("share_features_extractor", "network.shared",
         "network.shared=true shares the whole trunk of hidden layers"),
        ("optimizer_class", "algo.optimiser", "a name: adam, rmsprop or sgd", to.lower("algo.optimiser")),
        ("optimizer_kwargs", "algo.adam_eps algo.adam_beta1 algo.adam_beta2 algo.rmsprop_eps "
         "algo.rmsprop_decay"),
    ),
    *_settings(
        SB3, "stable_baselines3.common.env_util.make_vec_env",
        ("env_id", "env"),
        ("n_envs", "env.num_envs"),
        ("env_kwargs", "env.kwargs"),
        ("vec_env_cls", "", "environments step in one process; collect.mode=process is SubprocVecEnv"),
    ),
    *_settings(
        SB3, "stable_baselines3.common.vec_env.VecNormalize",
        ("norm_obs", "env.normalize_observation"),
        ("norm_reward", "env.normalize_reward"),
    ),
    *_settings(
        SB3, "stable_baselines3.common",
        ("EvalCallback", "eval.every eval.episodes", "evaluations are made during training by default"),
        ("CheckpointCallback", "checkpoint.every", "runs are always saved; rlcli resume RUN resumes one"),
        ("StopTrainingOnRewardThreshold", "stop_at.metric stop_at.threshold",
         "stop_at.threshold=475 ends a run at this evaluation return"),
        ("evaluate_policy", "", "rlcli eval RUN evaluates a trained run"),
        ("predict", "", "rlcli.load(RUN).act(observation) in Python"),
        ("deterministic", "", "rlcli eval takes the most probable action, with --stochastic it samples"),
        ("callback", "", "rlcli.train(..., on_row=f) in Python calls f after every update"),
        ("BaseCallback", "", "rlcli.train(..., on_row=f) in Python calls f after every update"),
        ("Monitor", "", "returns and lengths of episodes are always recorded"),
        ("VecNormalize", "env.normalize_observation env.normalize_reward"),
        ("SubprocVecEnv", "collect.mode", "collect.mode=process"),
        ("DummyVecEnv", "collect.mode", "collect.mode=inline, the default"),
        ("VecFrameStack", "env.atari.frame_stack", "of Atari's frames alone"),
    ),
    *_settings(
        SB3, "stable_baselines3.common.callbacks.EvalCallback",
        ("eval_freq", "eval.every", _CALLS.format("eval.every", "eval_freq"), to.per_env("eval.every")),
        ("n_eval_episodes", "eval.episodes"),
    ),
    *_settings(
        SB3, "stable_baselines3.common.callbacks.CheckpointCallback",
        ("save_freq", "checkpoint.every", _CALLS.format("checkpoint.every", "save_freq"),
         to.per_env("checkpoint.every")),
    ),
    *_metrics(
        SB3, "stable_baselines3.PPO",
        ("rollout/ep_rew_mean", "train/return_100"),
        ("rollout/ep_len_mean", "train/length_mean", "here over the episodes that ended in the rollout"),
        ("time/fps", "time/steps_per_second", "here of the latest update"),
        ("train/approx_kl", "update/kl_k3 update/kl_anchor_pi",
         "the k3 estimator, there averaged while the policy changes, here after the update; kl_anchor_pi is "
         "exact"),
        ("train/clip_fraction", "behaviour/clip_fraction_own update/clip_fraction",
         "there averaged over gradient steps, here after the update"),
        ("train/entropy_loss", "loss/entropy", "the entropy itself, without the minus sign"),
        ("train/policy_gradient_loss", "loss/policy"),
        ("train/value_loss", "loss/value"),
        ("train/explained_variance", "update/explained_variance"),
        ("eval/mean_reward", "eval/return_mean"),
        ("eval/mean_ep_length", "eval/length_mean"),
    ),
)  # fmt: skip

_OF_CLEANRL = (
    *_settings(
        CLEANRL, "cleanrl/ppo.py",
        ("exp_name", "name"),
        ("seed", "seed"),
        ("torch_deterministic", "", _ALWAYS),
        ("cuda", "device", _CUDA, to.switch("device", "cuda", "cpu")),
        ("track", "wandb.mode", "W&B is among the default loggers and offline unless you are logged in",
         to.switch("wandb.mode", "online", "disabled")),
        ("wandb_project_name", "wandb.project"),
        ("wandb_entity", "wandb.entity"),
        ("capture_video", "eval.video_every", "it films training; eval.video_every films evaluations"),
        ("env_id", "env"),
        ("total_timesteps", "total_steps"),
        ("learning_rate", "algo.learning_rate"),
        ("num_envs", "env.num_envs"),
        ("num_steps", "algo.rollout_steps"),
        ("anneal_lr", "algo.learning_rate_schedule",
         _SWITCH.format("algo.learning_rate_schedule", "linear", "constant"),
         to.switch("algo.learning_rate_schedule", "linear", "constant")),
        ("gamma", "algo.gamma"),
        ("gae_lambda", "algo.gae_lambda"),
        ("num_minibatches", "algo.minibatches"),
        ("update_epochs", "algo.epochs"),
        ("norm_adv", "algo.normalize_advantage",
         _SWITCH.format("algo.normalize_advantage", "minibatch", "none"),
         to.switch("algo.normalize_advantage", "minibatch", "none")),
        ("clip_coef", "algo.clip"),
        ("clip_vloss", "algo.value_clip",
         "there the range is clip_coef; algo.value_clip = algo.clip for true, null for false", to.value_clip),
        ("ent_coef", "algo.entropy_coef"),
        ("vf_coef", "algo.value_coef", _HALF.format("vf_coef"), to.half("algo.value_coef")),
        ("max_grad_norm", "algo.max_grad_norm"),
        ("target_kl", "algo.target_kl",
         "CleanRL stops after an epoch whose last minibatch exceeds it; algo.target_kl_rule=epoch_exact also "
         "stops after epochs, by the exact KL of the batch", as_it_is),
        ("batch_size", "algo.rollout_steps", _TOTAL.format("batch_size"), to.rollout_of_batch),
        ("minibatch_size", "algo.minibatches", _SIZE.format("minibatch_size"), to.minibatches),
        ("num_iterations", "total_steps", f"it counts updates; total_steps = num_iterations x {_BATCH}",
         to.per_update("total_steps")),
    ),
    *_metrics(
        CLEANRL, "cleanrl/ppo.py",
        ("charts/episodic_return", "train/return_mean", "here the mean over the rollout's episodes"),
        ("charts/episodic_length", "train/length_mean", "here the mean over the rollout's episodes"),
        ("charts/learning_rate", "update/learning_rate"),
        ("charts/SPS", "time/steps_per_second", "here of the latest update"),
        ("losses/value_loss", "loss/value", "without the factor 1/2"),
        ("losses/policy_loss", "loss/policy"),
        ("losses/entropy", "loss/entropy"),
        ("losses/approx_kl", "update/kl_k3 update/kl_anchor_pi",
         "the k3 estimator, there on the last minibatch, here on the batch after the update; kl_anchor_pi is "
         "exact"),
        ("losses/old_approx_kl", "update/kl_k1", "there on the last minibatch, here after the update"),
        ("losses/clipfrac", "behaviour/clip_fraction_own update/clip_fraction",
         "there averaged over gradient steps, here after the update"),
        ("losses/explained_variance", "update/explained_variance"),
    ),
)  # fmt: skip

_OF_RLLIB = (
    *_settings(
        RLLIB, "PPOConfig.training",
        ("use_critic", "algo.targets", "without a critic: algo=reinforce algo.baseline=none"),
        ("use_gae", "algo.targets", "algo.targets=gae|nstep|monte_carlo|vtrace"),
        ("lambda_", "algo.gae_lambda"),
        ("use_kl_loss", "algo.penalty",
         "algo=ppo_kl is PPO with an adaptive KL penalty, without the clip; with the clip: "
         "algo=ppo algo.penalty=kl_anchor_pi algo.beta_schedule=adaptive"),
        ("kl_coeff", "algo.beta", "with algo=ppo_kl", as_it_is),
        ("kl_target", "algo.kl_target",
         "with algo=ppo_kl; beta is doubled above 1.5 kl_target and halved below kl_target / 1.5, "
         "RLlib's multiplied by 1.5 above 2 and halved below 0.5 of its target", as_it_is),
        ("vf_loss_coeff", "algo.value_coef"),
        ("entropy_coeff", "algo.entropy_coef"),
        ("entropy_coeff_schedule", "", "the coefficient is constant: algo.entropy_coef"),
        ("clip_param", "algo.clip"),
        ("vf_clip_param", "",
         "it caps the squared error of the value function; algo.value_clip instead clips its change "
         "around the prediction before the update"),
        ("lr_schedule", "algo.learning_rate_schedule", "constant or linear, over schedule_steps"),
        ("vf_share_layers", "network.shared"),
        ("sgd_minibatch_size", "algo.minibatches", _SIZE.format("sgd_minibatch_size"), to.minibatches),
    ),
    *_settings(
        RLLIB, "AlgorithmConfig.training",
        ("gamma", "algo.gamma"),
        ("lr", "algo.learning_rate"),
        ("grad_clip", "algo.max_grad_norm"),
        ("grad_clip_by", "", "gradients are scaled by their global norm: algo.max_grad_norm"),
        ("train_batch_size", "algo.rollout_steps", _TOTAL.format("train_batch_size"), to.rollout_of_batch),
        ("train_batch_size_per_learner", "algo.rollout_steps", _TOTAL.format("train_batch_size_per_learner"),
         to.rollout_of_batch),
        ("num_epochs", "algo.epochs"),
        ("num_sgd_iter", "algo.epochs"),
        ("minibatch_size", "algo.minibatches", _SIZE.format("minibatch_size"), to.minibatches),
        ("shuffle_batch_per_epoch", "", _SHUFFLED),
        ("model", "network"),
    ),
    *_settings(
        RLLIB, "ImpalaConfig.training",
        ("vtrace", "algo.targets", "algo=impala uses algo.targets=vtrace"),
        ("vtrace_clip_rho_threshold", "algo.rho_bar"),
        ("vtrace_clip_pg_rho_threshold", "algo.rho_bar_pg"),
        ("vf_loss_coeff", "algo.value_coef", _HALF.format("vf_loss_coeff"), to.half("algo.value_coef")),
        ("broadcast_interval", "lag", "lag is the exact age of the behaviour policy, in updates", as_it_is),
        ("opt_type", "algo.optimiser"),
    ),
    *_settings(
        RLLIB, "AlgorithmConfig.env_runners",
        ("num_env_runners", "env.num_envs", _ENVS.format("num_env_runners", "num_envs_per_env_runner"),
         to.envs_of_runners),
        ("num_envs_per_env_runner", "env.num_envs",
         _ENVS.format("num_env_runners", "num_envs_per_env_runner"), to.envs_of_runners),
        ("num_workers", "env.num_envs", _ENVS.format("num_workers", "num_envs_per_worker"),
         to.envs_of_runners),
        ("num_envs_per_worker", "env.num_envs", _ENVS.format("num_workers", "num_envs_per_worker"),
         to.envs_of_runners),
        ("rollout_fragment_length", "algo.rollout_steps", _FRAGMENT, to.steps),
        ("batch_mode", "",
         "rollouts are cut at algo.rollout_steps; with algo=reinforce, collect.whole_episodes=true trains on "
         "whole episodes alone"),
        ("explore", "",
         "training samples actions; rlcli eval takes their mode, or samples with --stochastic"),
    ),
    *_settings(
        RLLIB, "AlgorithmConfig.environment",
        ("env", "env"),
        ("env_config", "env.kwargs"),
        ("clip_rewards", "algo.reward_clip",
         "a number, for learning only; RLlib's true takes the sign", as_it_is),
    ),
    *_settings(
        RLLIB, "AlgorithmConfig.learners",
        ("num_learners", "", "one process learns; a sweep trains many runs at once"),
        ("num_gpus_per_learner", "device", "device=cuda", to.always("device=cuda")),
        ("num_gpus", "device", "device=cuda", to.always("device=cuda")),
    ),
    *_settings(
        RLLIB, "DefaultModelConfig",
        ("fcnet_hiddens", "network.hidden"),
        ("fcnet_activation", "network.activation", "a name: tanh, relu, elu, silu or gelu",
         to.lower("network.activation")),
    ),
    *_settings(
        RLLIB, "AlgorithmConfig.evaluation",
        ("evaluation_interval", "eval.every",
         f"it counts training iterations; eval.every = evaluation_interval x {_BATCH}",
         to.per_update("eval.every")),
        ("evaluation_duration", "eval.episodes"),
    ),
    *_settings(RLLIB, "AlgorithmConfig.debugging", ("seed", "seed")),
    *_settings(
        RLLIB, "ray.tune.CheckpointConfig",
        ("checkpoint_frequency", "checkpoint.every",
         f"it counts training iterations; checkpoint.every = checkpoint_frequency x {_BATCH}",
         to.per_update("checkpoint.every")),
        ("num_to_keep", "checkpoint.keep",
         "the last two and the best are always kept; checkpoint.keep=k keeps every k-th "
         "besides"),
    ),
    *_metrics(
        RLLIB, "PPO",
        ("env_runners/episode_return_mean", "train/return_100"),
        ("episode_reward_mean", "train/return_100"),
        ("episode_len_mean", "train/length_mean"),
        ("num_env_steps_sampled_lifetime", "env_steps"),
        ("training_iteration", "update"),
        ("mean_kl_loss", "update/kl_anchor_pi", "there on minibatches, here on the batch after the update"),
        ("vf_loss", "loss/value"),
        ("policy_loss", "loss/policy"),
        ("entropy", "loss/entropy"),
        ("vf_explained_var", "update/explained_variance"),
        ("curr_kl_coeff", "update/beta"),
    ),
)  # fmt: skip

PEER_NAMES: tuple[PeerName, ...] = (*_OF_SB3, *_OF_CLEANRL, *_OF_RLLIB)
"""Every name, by library and source."""
