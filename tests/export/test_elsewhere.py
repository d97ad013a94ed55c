"""Exports in programs that do not know rlcli: TorchScript with torch alone, and Stable-Baselines3's zips.

Observations are those of real episodes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import rlcli
from rlcli.export.run import export_run
from rlcli.runs.train import Result
from tests.export.cases import BRIGHTER, PIXELS
from tests.export.elsewhere import ran
from tests.runs.tiny import BATCH

Trained = Callable[..., Result]
COUNT = 1_000

IN_TORCH = """
import sys
import numpy, torch
policy = torch.jit.load(sys.argv[1])
outputs = policy(torch.from_numpy(numpy.load(sys.argv[2])))
numpy.save(sys.argv[3], outputs[0].numpy())
print(sorted(name for name in ("rlcli", "gymnasium", "torch._dynamo", "triton") if name in sys.modules))
"""
IN_SB3 = """
import sys
import numpy
NAME, folder, observations, out = sys.argv[1].split("/")[-1], *sys.argv[2:]
if NAME == "TRPO":
    from sb3_contrib import TRPO as Class
else:
    import stable_baselines3
    Class = getattr(stable_baselines3, NAME)
import gymnasium
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
import pathlib
model = Class.load(folder + "/policy.zip")
given = numpy.load(observations)
if pathlib.Path(folder, "vecnormalize.pkl").exists():
    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    statistics = VecNormalize.load(folder + "/vecnormalize.pkl", env)
    assert not statistics.training
    given = statistics.normalize_obs(given)
    Class.load(folder + "/policy.zip", env=statistics)  # to train on
numpy.save(out, model.predict(given, deterministic=True)[0])
print(type(model).__name__, model.gamma, "rlcli" in sys.modules)
"""


def seen(env_id: str, **kwargs: Any) -> np.ndarray:
    """Observations of episodes with actions at random."""
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    env.action_space.seed(0)
    found, ended, seed = [], True, 0
    while len(found) < COUNT:
        if ended:
            observation, _ = env.reset(seed=seed)
            seed += 1
        else:
            observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = not ended and (terminated or truncated)
        found.append(observation)
    env.close()
    return np.array(found)


RUNS: dict[str, dict[str, Any]] = {
    "PPO": {"env__id": "Pendulum-v1", "env__normalize_observation": True},
    "A2C": {
        "env__id": "Acrobot-v1", "algo__surrogate": "score", "algo__epochs": 1, "algo__minibatches": 1,
        "algo__name": "a2c", "algo__optimiser": "rmsprop",
    },
    "TRPO": {
        "env__id": "CartPole-v1", "algo__surrogate": "ratio", "algo__step_rule": "natural",
        "algo__name": "trpo", "algo__max_grad_norm": None, "algo__entropy_coef": 0.0,
    },
}  # fmt: skip
STEPS = 10 * BATCH


@pytest.mark.parametrize("name", RUNS)
def test_sb3_opens_its_zip_and_acts_as_the_run(name: str, trained: Trained, tmp_path: Path) -> None:
    if name == "TRPO":
        pytest.importorskip("sb3_contrib")
    run_dir = trained(**RUNS[name], total_steps=STEPS, eval__episodes=0).dir
    done = export_run(run_dir, "sb3")
    observations = seen(RUNS[name]["env__id"])
    np.save(tmp_path / "given.npy", observations)
    said = ran(IN_SB3, Path(name), done.dir, tmp_path / "given.npy", tmp_path / "out.npy")
    assert said == f"{name} 0.99 False\n"
    actions, ours = np.load(tmp_path / "out.npy"), rlcli.load(run_dir).act(observations)
    assert actions.shape == ours.shape
    if ours.dtype.kind == "f":
        assert np.abs(actions - ours).max() <= 1e-6
    else:
        assert (actions == ours).all()
        assert len(set(ours.tolist())) > 1


def test_sb3_takes_images_as_the_environment_gives_them(trained: Trained, tmp_path: Path) -> None:
    run_dir = trained(env__id=BRIGHTER, **PIXELS, total_steps=STEPS, eval__episodes=0).dir
    done = export_run(run_dir, "sb3")
    observations = seen(BRIGHTER)[:100]
    np.save(tmp_path / "given.npy", observations)
    ran(IN_SB3, Path("PPO"), done.dir, tmp_path / "given.npy", tmp_path / "out.npy")
    ours = rlcli.load(run_dir).act(observations)
    assert (np.load(tmp_path / "out.npy") == ours).all()


def test_an_algorithm_sb3_does_not_have_is_a_ppo_that_acts_the_same(trained: Trained) -> None:
    done = export_run(trained(algo__penalty="kl_pi_anchor", algo__surrogate="ratio").dir, "sb3")
    assert "Stable-Baselines3 does not have the algorithm" in (done.dir / "README.md").read_text()
    assert done.agreement.ties == 0


def test_torch_opens_its_file_alone(trained: Trained, tmp_path: Path) -> None:
    run_dir = trained(**RUNS["PPO"], total_steps=STEPS, eval__episodes=0).dir
    done = export_run(run_dir, "torch")
    observations = seen("Pendulum-v1")
    np.save(tmp_path / "given.npy", observations)
    said = ran(IN_TORCH, done.dir / "policy.pt", tmp_path / "given.npy", tmp_path / "out.npy")
    assert said == "[]\n"
    assert np.abs(np.load(tmp_path / "out.npy") - rlcli.load(run_dir).act(observations)).max() <= 1e-6
    with zipfile.ZipFile(done.dir / "policy.pt") as file:
        names = file.namelist()
    assert any(name.endswith("extra/rlcli.json") for name in names)


EXPORTED = """
import sys
from pathlib import Path
from rlcli.export.run import export_run
export_run(Path(sys.argv[1]), sys.argv[3], out=Path(sys.argv[2]) / sys.argv[3])
compilers = ("torch._dynamo", "torch._inductor", "triton", "onnxscript")
print(sorted(name for name in compilers if name in sys.modules))
"""


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_an_export_loads_no_compiler(form: str, finished: Path, tmp_path: Path) -> None:
    """torch's compiler brings libraries that may not bear others; a crash of theirs would end the process."""
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    assert ran(EXPORTED, finished, tmp_path, Path(form)) == "[]\n"


def test_a_loaded_run_has_the_exported_module(finished: Path) -> None:
    run = rlcli.load(finished)
    module, observations = run.module(), seen("CartPole-v1")
    action, logits, value = module(torch.from_numpy(observations))
    assert action.tolist() == run.act(observations).tolist()
    assert (logits.shape, value.shape) == ((COUNT, 2), (COUNT,))
    named = module.act(observation=observations)
    assert list(named) == ["action", "logits", "value"]
    assert torch.equal(named["logits"], logits)
    with pytest.raises(TypeError, match="inputs are observation; got obs"):
        module.act(obs=observations)
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert run.module().act(observation=observations)["logits"].equal(logits)
