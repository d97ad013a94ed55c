"""Files of each format, and how a file that was written acts.

A policy is traced: the operations that it makes of observations are recorded, so that loading it needs no
code of rlcli's nor of the user's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from rlcli.export.check import Act, Array
from rlcli.export.observations import Drawn
from rlcli.standalone.policy import PolicyModule

METADATA = "rlcli.json"
"""Name of the metadata in a file: an extra file of TorchScript's, a property of ONNX's and safetensors'."""
BATCH = "batch"
OPSET = 17
"""Version of ONNX's operators, of 2022, which every runtime in use knows."""


def write_torch(path: Path, module: PolicyModule, example: Drawn, metadata: Mapping[str, Any]) -> Act:
    """Writes a TorchScript file, which `torch.jit.load` opens with torch alone; gives how it acts."""
    with warnings.catch_warnings():
        # Deprecated in favour of torch.export, whose files no torch before the one that wrote them opens.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        scripts: Any = torch.jit  # without annotations
        traced = scripts.trace(module, _tensors(module, example), check_trace=False)
        traced.save(str(path), _extra_files={METADATA: json.dumps(metadata)})
        loaded = scripts.load(str(path))

    def act(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.inference_mode():
            outputs = loaded(*(torch.from_numpy(inputs[one.name]) for one in module.inputs))
        return {name: part.numpy() for name, part in zip(module.outputs, outputs, strict=True)}

    return act


def write_onnx(path: Path, module: PolicyModule, example: Drawn, metadata: Mapping[str, Any]) -> Act:
    """Writes an ONNX file whose axis `batch` is free; gives how onnxruntime runs it.

    By torch's TorchScript exporter: 0.6 s for a perceptron, where the one by torch.export takes 11 s and
    loads torch's compiler.
    """
    import onnx
    import onnxruntime

    names = [one.name for one in module.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its deprecation, and of what tracing takes for constants
        torch.onnx.export(
            module, _tensors(module, example), str(path), dynamo=False, opset_version=OPSET,
            input_names=names, output_names=list(module.outputs),
            dynamic_axes={name: {0: BATCH} for name in (*names, *module.outputs)},
        )  # fmt: skip
    written = onnx.load(str(path))
    onnx.helper.set_model_props(written, {METADATA: json.dumps(metadata)})
    onnx.checker.check_model(written, full_check=True)
    onnx.save(written, str(path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kept = {one.name for one in session.get_inputs()}

    def act(inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = session.run(None, {name: part for name, part in inputs.items() if name in kept})
        return dict(zip(module.outputs, map(np.asarray, outputs), strict=True))

    return act


def write_safetensors(path: Path, module: PolicyModule, _: Drawn, metadata: Mapping[str, Any]) -> Act:
    """Writes parameters and constants by the module's names; gives how it acts with those."""
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in module.state_dict().items()}
    save_file(tensors, str(path), metadata={METADATA: json.dumps(metadata)})
    module.load_state_dict(load_file(str(path)))

    def act(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: part.numpy() for name, part in module.act(**inputs).items()}

    return act


def _tensors(module: PolicyModule, example: Drawn) -> tuple[torch.Tensor, ...]:
    """A few observations, as the module takes them."""
    return tuple(torch.from_numpy(example.tensors[one.name]) for one in module.inputs)
