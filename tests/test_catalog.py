from __future__ import annotations

import subprocess
import sys

import pytest

from rlcli.catalog.table import METRICS

COMPARED = (
    "ratio_mean ratio_min ratio_max ratio_p01 ratio_p50 ratio_p99 clip_fraction clip_fraction_own "
    "clip_active ess kl_k1 kl_k3 tv tv_sampled tv_bound"
)
NAMES = {
    "train": "return_mean length_mean episodes return_100",
    "eval": "return_mean return_std return_min return_max length_mean episodes cut final",
    "behaviour": f"{COMPARED} khat kl_mu_pi kl_mu_pi_max kl_pi_mu kl_pi_mu_max",
    "update": f"{COMPARED} kl_anchor_pi kl_anchor_pi_max kl_pi_anchor kl_pi_anchor_max budget_used entropy "
    "explained_variance grad_norm_mean grad_norm_max gain_predicted gain_realised gradient_steps epochs "
    "learning_rate clip lag beta beta_bound cg_residual cg_curvature step_accepted step_outcome",
    "weights": "ess max variance",
    "auxiliary": "value value_aux clone_kl",
    "loss": "policy value entropy penalty total",
    "epochs": "kl_mu_pi kl_pi_mu ess clip_fraction",
    "time": "steps_per_second elapsed collect environment learn estimate health evaluate log digests save",
    "actors": "restarts lag lag_min lag_max queue busy learner_busy dropped",
}


def test_the_catalogue_is_complete():
    expected = {f"{group}/{name}" for group, names in NAMES.items() for name in names.split()}
    assert set(METRICS) == {"update", "env_steps"} | expected


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_fully_declared(metric):
    assert METRICS[metric.name] is metric
    assert metric.unit
    assert metric.source
    assert metric.definition.endswith(".")
    assert metric.direction in ("higher", "lower", "neither")


@pytest.mark.parametrize("name", [name for name in METRICS if "/kl_" in name and "/kl_k" not in name])
def test_a_divergence_is_named_after_its_direction(name):
    symbols = {"mu": "μ", "pi": "π", "anchor": "anchor"}
    first, second = (symbols[part] for part in name.partition("/kl_")[2].removesuffix("_max").split("_"))
    over = "max_s" if name.endswith("_max") else "mean_s"
    # Per-epoch figures carry the epoch as an index of the policy that moves.
    assert METRICS[name].formula.replace("_e", "") == f"{over} KL({first}‖{second})"
    assert METRICS[name].unit == "nats"


def test_directions_of_what_users_compare_by():
    better = {name: METRICS[name].direction for name in ("eval/return_mean", "behaviour/ess", "time/elapsed")}
    assert better == {"eval/return_mean": "higher", "behaviour/ess": "higher", "time/elapsed": "lower"}
    assert {METRICS[name].direction for name in METRICS if "kl_" in name or "clip" in name} == {"neither"}


def test_reading_it_loads_nothing_heavy():
    heavy = {"torch", "hydra", "gymnasium", "numpy"}
    code = f"import sys, rlcli.catalog; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
