"""Trained policies for use elsewhere: files of TorchScript, ONNX, Stable-Baselines3 and safetensors."""
