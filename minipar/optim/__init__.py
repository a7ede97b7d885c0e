"""Optimizers, spelled as in PyTorch."""
