"""How an export is used: the lines of its model card, by format."""

from __future__ import annotations

from rlcli.backends.sb3_zip import STATISTICS, ZIP
from rlcli.export.markdown import block
from rlcli.standalone.policy import PolicyModule


def of_torch(module: PolicyModule) -> str:
    """A TorchScript file."""
    given = ", ".join(_name(one.name) for one in module.inputs)
    lines = [
        "import torch",
        "",
        'policy = torch.jit.load("policy.pt")',
        f"{', '.join(module.outputs)} = policy({given})",
    ]
    return "`policy.pt` is a TorchScript file; it needs torch alone.\n\n" + block("\n".join(lines), "python")


def of_onnx(module: PolicyModule) -> str:
    """An ONNX file."""
    given = ", ".join(f"{one.name!r}: {_name(one.name)}" for one in module.inputs)
    lines = [
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("policy.onnx")',
        f"{', '.join(module.outputs)} = session.run(None, {{{given}}})",
    ]
    return "`policy.onnx` is an ONNX file.\n\n" + block("\n".join(lines), "python")


def of_safetensors(module: PolicyModule) -> str:
    """Plain weights."""
    lines = [
        "from safetensors.torch import load_file",
        "",
        'tensors = load_file("policy.safetensors")',
    ]
    names = "\n".join(f"{name} {list(tensor.shape)}" for name, tensor in module.state_dict().items())
    return (
        "`policy.safetensors` has the parameters and the statistics of whitening, `(x - mean) * scale`, by "
        "name; its metadata say what goes in and comes out. `rlcli.load(run).module()` has these names."
        "\n\n" + block("\n".join(lines), "python") + "\n\n" + block(names)
    )


def of_sb3(kind: str, whitened: bool, arguments: bool, shared: bool) -> str:
    """A model of Stable-Baselines3."""
    package = "sb3_contrib" if kind == "TRPO" else "stable_baselines3"
    lines = [f"from {package} import {kind}"]
    if whitened:
        lines.append("from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize")
    lines += ["", f'model = {kind}.load("{ZIP}")']
    if whitened:
        lines += [
            f'statistics = VecNormalize.load("{STATISTICS}", DummyVecEnv([make_env]))',
            "observation = statistics.normalize_obs(observation)",
        ]
    lines.append("action, _ = model.predict(observation, deterministic=True)")
    notes = [f"`{ZIP}` is a model of Stable-Baselines3's {kind}."]
    if whitened:
        notes.append(
            f"Observations are whitened by `{STATISTICS}`, a file of its VecNormalize: it clips them to "
            "-10 .. 10, which no first layer could."
        )
    if kind == "PPO" and not arguments:
        notes.append(
            "Stable-Baselines3 does not have the algorithm that trained it: the policy acts the same, and "
            "further training is PPO's with its own settings."
        )
    if shared:
        notes.append("Policy and value share layers, of which each has a copy here.")
    notes.append("The optimiser starts anew. Both files hold pickles, by Stable-Baselines3's format.")
    return " ".join(notes) + "\n\n" + block("\n".join(lines), "python")


def _name(name: str) -> str:
    """A name for a variable."""
    return name if name.isidentifier() else "observation_part"
