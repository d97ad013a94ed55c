"""A trained policy as a plain `torch.nn.Module`: observations as the environment gives them in, actions out.

Its modules hold parameters and constants alone and compute with common operations of torch, so that tracing
and exporters take them. Each stands for a part of a policy: `inputs` for the encoder, `networks` for the
network, `actions` for the family of distributions.
"""
